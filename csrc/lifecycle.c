/* SPDX-License-Identifier: MIT */
/* lifecycle.c: start and stop.
 *
 * Context: lifecycle; gp_lifecycle_stop() and on_termination() are signal too.
 */
#define _GNU_SOURCE
#include "lifecycle.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "account.h"
#include "gst.h"
#include "hooks.h"
#include "imports.h"
#include "kernel.h"
#include "label.h"
#include "modules.h"
#include "poller.h"
#include "sampler.h"
#include "settings.h"
#include "spawn.h"
#include "workers.h"

enum
{
  STOP_MS = 1000, /* the longest that the host's end may wait for us */
  /* where the profile goes to `run` or into a file, and the agent dies with the host: somebody waits for it, no server
   * can hang, and a busy machine may need more than a second to bring an interpreter up */
  STOP_HERE_MS = 5000,
  SPACE_MB = 512 /* what we map, an embedded Python and its threads; most of it is never touched */
};

static _Atomic bool g_ending;
static _Atomic bool g_started;
static _Atomic bool g_said_lost;
static bool g_stays_here;            /* `run` or a file takes the profile */
static _Atomic uint64_t g_ending_ns; /* CLOCK_MONOTONIC; 0: nobody asked for the end yet */
static uint32_t g_poller_over;       /* futex: the poller has seen the agent's end */

/* The child of a fork has neither poller nor agent, and its parent's segment: it goes on unprofiled. */
static void
in_forked_child (void)
{
  atomic_store (&g_active, false);
}

bool
gp_lifecycle_is_ending (void)
{
  return atomic_load (&g_ending);
}

/* The home may be chosen while the host's end waits already. */
static uint64_t
deadline_ns (void)
{
  bool prolonged = g_stays_here && gp_load (&g_segment->agent_home) != GP_HOME_PROCESS;
  return atomic_load (&g_ending_ns) + (prolonged ? STOP_HERE_MS : STOP_MS) * 1000000ull;
}

/* In a process of its own the agent goes on without the host. */
static void
say_lost (void)
{
  static const char text[] =
      "gst-pyro: the program ended before the agent in it was done, and the last profile is lost: "
      "the machine is busy, or the run was too short. GST_PYROSCOPE_AGENT=process outlives it\n";
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED && !atomic_exchange (&g_said_lost, true))
    gp_write_stderr (text, sizeof text - 1);
}

void
gp_lifecycle_stop (void)
{
  if ((!atomic_load (&g_active) && !atomic_load (&g_ending)) || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  /* Once in all, however many ways out the host takes (gst_deinit, exit handlers, a signal). */
  uint64_t now = gp_clock_ns (CLOCK_MONOTONIC), unset = 0, deadline;
  atomic_compare_exchange_strong (&g_ending_ns, &unset, now);
  atomic_store (&g_ending, true);
  gp_segment_signal (&g_segment->poll);
  while (gp_load_acquire (&g_poller_over) == 0 && (now = gp_clock_ns (CLOCK_MONOTONIC)) < (deadline = deadline_ns ()))
    gp_segment_wait (&g_poller_over, 0, (unsigned) ((deadline - now) / 1000000 + 1));
  if (gp_load_acquire (&g_poller_over) == 0)
    say_lost ();
}

/* SIGINT or SIGTERM with nobody else to handle it: the last window goes out, then the host dies as it would have. */
static void
on_termination (int number)
{
  int saved_errno = errno;
  gp_lifecycle_stop ();
  struct sigaction action;
  memset (&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  sigaction (number, &action, NULL);
  gp_syscall (
      SYS_tgkill, gp_syscall (SYS_getpid), gp_syscall (SYS_gettid), number); /* delivered when this handler returns */
  errno = saved_errno;
}

static void
catch_termination (int number)
{
  struct sigaction ours, before;
  memset (&ours, 0, sizeof ours);
  ours.sa_handler = on_termination;
  ours.sa_flags = SA_RESTART;
  if (sigaction (number, NULL, &before) != 0 || before.sa_handler != SIG_DFL || sigaction (number, &ours, &before) != 0)
    return;
  if (before.sa_handler != SIG_DFL) /* the host was faster */
    sigaction (number, &before, NULL);
}

void
gp_lifecycle_agent_embedded (void)
{
  /* An agent beside the host outlives it and needs no signal caught. Pid 1 has no default action to fall back on. */
  if (gp_syscall (SYS_getpid) == 1)
    return;
  catch_termination (SIGINT);
  catch_termination (SIGTERM);
}

void
gp_lifecycle_agent_runs (void)
{
  /* Exit handlers run last come, first served: ours must come before OpenSSL's, which the agent has registered by now.
   */
  atexit (gp_lifecycle_stop);
}

void
gp_lifecycle_over (void)
{
  gp_segment_signal (&g_poller_over);
}

void
gp_lifecycle_retire (void)
{
  atomic_store (&g_active, false);
  gp_threads_disarm ();
  gp_sampler_stop ();
}

void
gp_lifecycle_dispose (void)
{
  /* In a forked child a thread that is not there may have a line on its way. */
  if (g_segment == NULL || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  if (g_segment->stop_on_dispose)
    gp_lifecycle_stop ();
  /* gst_deinit() goes on to take the debug log down. */
  gp_gst_close_log ();
}

/* Beyond RLIMIT_FSIZE the kernel sends SIGXFSZ, which ends the host; for files in memory too. */
static bool
may_be_as_large (uint64_t bytes)
{
  struct rlimit limit;
  return getrlimit (RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes;
}

/* Under RLIMIT_AS or RLIMIT_DATA our mappings would be missing where the host wants memory or threads. */
static bool
has_space (void)
{
  static const struct
  {
    int resource, column; /* in /proc/self/statm */
  } limits[] = { { RLIMIT_AS, 0 }, { RLIMIT_DATA, 5 } };
  unsigned long pages[6] = { 0 };
  FILE *file = fopen ("/proc/self/statm", "re");
  for (int i = 0; file != NULL && i < 6; i++)
    if (fscanf (file, "%lu", &pages[i]) != 1)
      break;
  if (file != NULL)
    fclose (file);
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    struct rlimit limit;
    uint64_t used = (uint64_t) pages[limits[i].column] * (uint64_t) sysconf (_SC_PAGESIZE);
    if (getrlimit (limits[i].resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
        && limit.rlim_cur < used + ((uint64_t) SPACE_MB << 20))
      return false;
  }
  return true;
}

bool
gp_lifecycle_started (void)
{
  return atomic_load (&g_started);
}

static void
give_up (const char *what, int error)
{
  gp_say ("cannot profile: %s: %s", what, strerror (error));
}

void
gp_lifecycle_start (GstTracer *tracer, const char *params)
{
  /* One profile a process: a second tracer (GST_TRACERS names it twice) has nothing to add. */
  if (getauxval (AT_SECURE) != 0 || atomic_exchange (&g_started, true))
    return;
  if (!has_space ()) {
    gp_say ("cannot profile: ulimit -v or -d leaves less than %d MB", SPACE_MB);
    return;
  }
  if (!may_be_as_large (sizeof (struct gp_segment))) {
    gp_say ("cannot profile: ulimit -f allows no file of %zu MB", (sizeof (struct gp_segment) >> 20) + 1);
    return;
  }
  int memory = -1, error = gp_segment_create (&memory);
  if (error != 0) {
    give_up ("no shared memory", error);
    return;
  }
  gp_label_init ();
  if (!gp_settings_take (params)) {
    gp_syscall (SYS_close, memory);
    return;
  }
  strncpy (g_segment->program, program_invocation_short_name, sizeof g_segment->program - 1);
  g_segment->sample_rate_hz = gp_settings_sample_rate ();
  g_segment->stop_on_dispose = gp_settings_stop_on_dispose ();
  const char *file = gp_settings_get ("output");
  g_stays_here = secure_getenv ("GST_PYROSCOPE_COLLECTOR") != NULL || (file != NULL && *file != '\0');
  gp_spawn_read_environment ();
  gp_account_calibrate ();
  error = gp_threads_init ();
  if (error != 0) {
    give_up ("no room for threads", error);
    gp_syscall (SYS_close, memory);
    return;
  }
  pthread_atfork (NULL, NULL, in_forked_child);
  gp_modules_refresh ();
  gp_sampler_start (g_segment->sample_rate_hz);
  gp_thread_attach_self ();
  gp_workers_init ();
  atomic_store (&g_active, true);
  gp_hooks_register (tracer);
  gp_imports_pass ();
  gp_threads_poll (gp_label_fixed (GP_LABEL_BEFORE));
  atexit (gp_lifecycle_stop);
  error = gp_poller_start (memory);
  if (error != 0) {
    gp_lifecycle_retire ();
    give_up ("no thread", error);
  }
}
