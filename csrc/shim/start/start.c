/* SPDX-License-Identifier: MIT */
/* start.c: profiling begins.
 *
 * gp_start() runs these steps. Where one fails, the host sees at most one line on stderr and runs on, unprofiled.
 *
 *    step                                   failure                            the host sees
 *    1. is this the first tracer of the     a second one, or setuid            nothing
 *       process, and not a setuid program?
 *    2. limits of memory and files          too low                            "ulimit -v or -d …", "ulimit -f …"
 *    3. segment: a memfd, mapped            no descriptor, no memory           "no shared memory: …"
 *    4. labels, settings                    parameters cannot be parsed        "cannot read the parameters in …"
 *    5. rate of the cycle counter           none: clocks are read instead      nothing
 *    6. registry of threads                 no memory                          "no room for threads: …"
 *    7. list of modules; signal and clock   none free: accounts, no samples    nothing; the profile says so
 *    8. this thread registered; table of    none                               nothing
 *       redirected calls; g_active set
 *    9. hooks; redirects; all other         a thread without a slot: its CPU   nothing; the profile says so
 *       threads registered and armed        is accounted as [unseen threads]
 *   10. home: the segment goes to a         named, but cannot be reached, and  "`run`, which started this program, …";
 *       controller or to a running agent    no server is set                   nothing where `run` has ended
 *   11. exit handler, poller (which starts  no thread                          "no thread: …"
 *       an agent where step 10 found none)
 *
 * Where step 10 or 11 fails, gp_stop_profiling() undoes the steps before it. Failures of an agent's start are reported
 * by the poller: home/home.h.
 *
 * Context: lifecycle.
 */
#define _GNU_SOURCE
#include "shim/start/start.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/base/gst_api.h"
#include "shim/base/settings.h"
#include "shim/calls/redirected_calls.h"
#include "shim/home/handover.h"
#include "shim/home/home.h"
#include "shim/labels/account.h"
#include "shim/labels/hooks.h"
#include "shim/labels/label_rows.h"
#include "shim/modules/modules.h"
#include "shim/redirect/redirect.h"
#include "shim/start/poller.h"
#include "shim/stop/stop.h"
#include "shim/threads/sampler.h"
#include "shim/threads/thread.h"

enum
{
  SPACE_MB = 512 /* our mappings, an embedded Python and its threads; most of it is never touched */
};

static _Atomic bool g_started;

/* The child of a fork has no poller and no agent, and shares its parent's segment: it runs on unprofiled. */
static void
in_forked_child (void)
{
  atomic_store (&g_active, false);
}

/* A process that makes a file larger than RLIMIT_FSIZE gets SIGXFSZ, which ends it. A memfd is a file. */
static bool
file_may_have (uint64_t bytes)
{
  struct rlimit limit;
  return getrlimit (RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes;
}

/* Under RLIMIT_AS or RLIMIT_DATA our mappings take away what the host may need for memory or threads. */
static bool
has_space (void)
{
  static const struct
  {
    int resource, column; /* column: of /proc/self/statm */
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
gp_start_was_called (void)
{
  return atomic_load (&g_started);
}

static void
say_failure (const char *what, int error, const char *hint)
{
  gp_say ("cannot profile: %s: %s. %s", what, strerror (error), hint);
}

/* Hands the segment to the controller or to an agent that runs already; the poller starts an agent where there is none.
 * False: nothing is to be profiled. */
static bool
find_home (int memory)
{
  int why;
  enum gp_handover handover = gp_handover_to_controller (memory, &why);
  if (handover == GP_HANDOVER_TAKEN) {
    gp_syscall (SYS_close, memory);
    return true;
  }
  /* The user asked for the table of `run` only, and that cannot be had. A program that a survivor of `run` starts later
   * prints nothing: its user may never have heard of `run`. */
  if (handover != GP_HANDOVER_NONE && !gp_settings_is_set ("server_url")) {
    if (handover == GP_HANDOVER_REFUSED)
      say_failure ("`run`, which started this program, cannot be reached", why,
          "With GST_PYROSCOPE_SERVER_URL set, profiles go to that server without `run`");
    gp_syscall (SYS_close, memory);
    return false;
  }
  gp_home_prepare (memory);
  return true;
}

void
gp_start (GstTracer *tracer, const char *params)
{
  /* 1. One profile a process: GST_TRACERS may name the tracer twice. */
  if (getauxval (AT_SECURE) != 0 || atomic_exchange (&g_started, true))
    return;
  /* 2. */
  if (!has_space ()) {
    gp_say ("cannot profile: ulimit -v or -d leaves less than %d MB. Raise that limit", SPACE_MB);
    return;
  }
  if (!file_may_have (sizeof (struct gp_segment))) {
    gp_say (
        "cannot profile: ulimit -f allows no file of %zu MB. Raise that limit", (sizeof (struct gp_segment) >> 20) + 1);
    return;
  }
  /* 3. */
  int memory = -1, error = gp_segment_create (&memory);
  if (error != 0) {
    say_failure ("no shared memory", error, "Free memory, or raise the limit of open files (ulimit -n)");
    return;
  }
  /* 4. */
  gp_label_init ();
  if (!gp_settings_take (params)) {
    gp_syscall (SYS_close, memory);
    return;
  }
  strncpy (g_segment->program, program_invocation_short_name, sizeof g_segment->program - 1);
  g_segment->sample_rate_hz = gp_settings_sample_rate ();
  g_segment->stop_on_dispose = gp_settings_stop_on_dispose ();
  g_settings_file = gp_settings_is_set ("output");
  /* 5. and 6. */
  gp_account_calibrate ();
  error = gp_threads_init ();
  if (error != 0) {
    say_failure ("no room for threads", error, "Free memory");
    gp_syscall (SYS_close, memory);
    return;
  }
  /* 7. */
  pthread_atfork (NULL, NULL, in_forked_child);
  gp_modules_refresh ();
  gp_sampler_start (g_segment->sample_rate_hz);
  /* 8. */
  gp_thread_current ();
  gp_redirected_calls_init ();
  atomic_store (&g_active, true);
  /* 9. */
  gp_hooks_register (tracer);
  gp_redirect_pass ();
  gp_threads_poll (gp_label_fixed (GP_LABEL_BEFORE));
  /* 10. */
  if (!find_home (memory)) {
    gp_stop_profiling ();
    return;
  }
  /* 11. */
  atexit (gp_stop);
  error = gp_poller_start ();
  if (error != 0) {
    gp_stop_profiling ();
    /* An agent that has the segment since step 10 would wait for publications until the host ends. */
    gp_store_release (&g_segment->host_state, GP_HOST_INERT);
    gp_futex_signal (&g_segment->wake);
    say_failure ("no thread", error, "Raise the limit of processes (ulimit -u, or the container's)");
  }
}
