/* SPDX-License-Identifier: MIT */
/* stop.c: the host ends.
 *
 * Hazard: the thread that ends the host may be inside dlopen (a signal's handler, exit() in a constructor) and hold the
 * loader's lock. The poller says when it wants that lock, and is not waited for then. Whether an agent in this process
 * wants it nobody can tell (it imports modules, resolves names), so there the thread's own stack is looked at.
 *
 * Context: lifecycle; stop_at() and on_termination() are signal too.
 */
#define _GNU_SOURCE
#include "shim/stop/stop.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "shim/base/gst_api.h"
#include "shim/redirect/redirect.h"
#include "shared/raw_syscall.h"
#include "shim/signal/handler.h"
#include "shim/threads/tick_signal.h"
#include "shim/base/settings.h"
#include "shim/threads/thread.h"

enum
{
  STOP_MS = 1000, /* the longest that the host's end may wait for us */
  /* where a file takes the profile, and the agent dies with the host: somebody waits for it, no server can hang, and a
   * busy machine may need more than a second to bring an interpreter up */
  STOP_FILE_MS = 5000,
  LOADER_MS = 50, /* for a poller that wants the loader's lock, which another thread may give it */
  DELIVER_WITHOUT_LOADER_MS = 300,
  LOOK_MS = 10
};

static _Atomic bool g_ending, g_said_lost, g_in_loader, g_makes_way;
static _Atomic uint64_t g_ending_ns;            /* CLOCK_MONOTONIC; 0: nobody asked for the end yet */
static uint32_t g_poller_closed, g_poller_over; /* futexes */
static uintptr_t g_loader, g_loader_end;        /* its code */

bool
gp_stop_is_wanted (void)
{
  return atomic_load (&g_ending);
}

static bool
dies_with_host (void)
{
  /* With pid 1 the kernel ends all there is in its container. */
  return gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED
         || (gp_load (&g_segment->agent_home) == GP_HOME_PROCESS && g_segment->host_pid == 1);
}

/* For the last close. */
static uint64_t
patience_ns (void)
{
  return STOP_MS * 1000000ull;
}

/* For the delivery, from the first call on. The home may be chosen while the host's end waits already. */
static uint64_t
delivery_patience_ns (void)
{
  if (atomic_load (&g_in_loader) && dies_with_host ())
    return DELIVER_WITHOUT_LOADER_MS * 1000000ull;
  if (dies_with_host ())
    return (g_settings_file ? STOP_FILE_MS : STOP_MS) * 1000000ull;
  if (!g_settings_file || gp_load (&g_segment->agent_home) != GP_HOME_PROCESS)
    return 0;
  /* A file is expected to be there when the program has ended. But nobody waits longer for a short run than it ran. */
  uint64_t tenth = (atomic_load (&g_ending_ns) - g_segment->start_mono_ns) / 10;
  return tenth < STOP_MS * 1000000ull ? tenth : STOP_MS * 1000000ull;
}

/* Until *word is set, the patience is over, or the poller stands before the loader's lock and does not get it. */
static void
wait_for (uint32_t *word, uint64_t (*patience) (void))
{
  unsigned at_loader_ms = 0;
  while (gp_load_acquire (word) == 0 && at_loader_ms < LOADER_MS) {
    uint64_t now = gp_clock_ns (CLOCK_MONOTONIC), end = atomic_load (&g_ending_ns) + patience ();
    if (now >= end)
      return;
    uint64_t left_ms = (end - now) / 1000000 + 1;
    gp_segment_wait (word, 0, left_ms < LOOK_MS ? (unsigned) left_ms : LOOK_MS);
    at_loader_ms = atomic_load (&g_redirect_at_loader) ? at_loader_ms + LOOK_MS : 0;
  }
}

/* In a process of its own the agent goes on without the host. */
static void
say_lost (const char *text, size_t bytes)
{
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED && !atomic_load (&g_makes_way)
      && !atomic_exchange (&g_said_lost, true))
    gp_write_stderr (text, bytes);
}

#define SAY_LOST(text) say_lost ((text), sizeof (text) - 1)

/* context: where the thread that ends the host is. */
static void
stop_at (const void *context)
{
  if ((!atomic_load (&g_active) && !atomic_load (&g_ending)) || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  /* Once in all, however many ways out the host takes (gst_deinit, exit handlers, a signal). */
  uint64_t unset = 0;
  if (atomic_compare_exchange_strong (&g_ending_ns, &unset, gp_clock_ns (CLOCK_MONOTONIC)))
    atomic_store (&g_in_loader, dies_with_host () && gp_handler_interrupted_in (context, g_loader, g_loader_end));
  atomic_store (&g_ending, true);
  gp_segment_signal (&g_segment->poll);
  wait_for (&g_poller_closed, patience_ns);
  wait_for (&g_poller_over, delivery_patience_ns);
  if (gp_load_acquire (&g_poller_over) != 0)
    return;
  if (atomic_load (&g_in_loader))
    SAY_LOST (
        "gst-pyro: the program ended while it loaded a library, which the agent in it may wait for as well: the last "
        "profile is lost. GST_PYROSCOPE_AGENT=process outlives it\n");
  else
    SAY_LOST (
        "gst-pyro: the program ended before the agent in it was done, and the last profile is lost: the machine is "
        "busy, or the run was too short. GST_PYROSCOPE_AGENT=process outlives it\n");
}

void
gp_stop (void)
{
  ucontext_t here;
  memset (&here, 0, sizeof here);
  here.uc_stack.ss_flags = SS_DISABLE;
  getcontext (&here);
  stop_at (&here);
}

void
gp_stop_to_make_way (void)
{
  atomic_store (&g_makes_way, true);
  gp_stop ();
}

void
gp_stop_at_dispose (void)
{
  /* In a forked child a thread that is not there may have a line on its way. */
  if (g_segment == NULL || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  if (g_segment->stop_on_dispose)
    gp_stop ();
  /* gst_deinit() goes on to take the debug log down. */
  gp_gst_close_log ();
}

/* SIGINT or SIGTERM with nobody else to handle it: the last window goes out, then the host dies as it would have. */
static void
on_termination (int number, siginfo_t *info, void *context)
{
  (void) info;
  int saved_errno = errno;
  stop_at (context);
  struct sigaction action;
  memset (&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  sigaction (number, &action, NULL);
  gp_syscall (
      SYS_tgkill, gp_syscall (SYS_getpid), gp_syscall (SYS_gettid), number); /* delivered when this handler returns */
  errno = saved_errno;
}

static void
find_loader (void)
{
  g_loader = getauxval (AT_BASE);
  const ElfW (Ehdr) *image = (const ElfW (Ehdr) *) g_loader; /* 0: the loader itself was run as a program */
  const ElfW (Phdr) *part = image != NULL ? (const ElfW (Phdr) *) (g_loader + image->e_phoff) : NULL;
  for (int i = 0; part != NULL && i < image->e_phnum; i++)
    if (part[i].p_type == PT_LOAD && (part[i].p_flags & PF_X) != 0)
      g_loader_end = g_loader + part[i].p_vaddr + part[i].p_memsz;
}

static void
catch_termination (int number)
{
  struct sigaction ours, before;
  memset (&ours, 0, sizeof ours);
  ours.sa_sigaction = on_termination;
  ours.sa_flags = SA_RESTART | SA_SIGINFO;
  if (sigaction (number, NULL, &before) != 0 || before.sa_handler != SIG_DFL || sigaction (number, &ours, &before) != 0)
    return;
  if (before.sa_handler != SIG_DFL) /* the host was faster */
    sigaction (number, &before, NULL);
}

void
gp_stop_agent_embedded (void)
{
  find_loader ();
  /* An agent beside the host outlives it and needs no signal caught. Pid 1 has no default action to fall back on. */
  if (gp_syscall (SYS_getpid) == 1)
    return;
  catch_termination (SIGINT);
  catch_termination (SIGTERM);
}

void
gp_stop_agent_runs (void)
{
  /* Exit handlers run last come, first served: ours must come before OpenSSL's, which the agent has registered by now.
   */
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED)
    atexit (gp_stop);
}

void
gp_stop_closed (void)
{
  gp_segment_signal (&g_poller_closed);
}

void
gp_stop_over (void)
{
  gp_segment_signal (&g_poller_over);
}

void
gp_stop_profiling (void)
{
  atomic_store (&g_active, false);
  gp_threads_disarm ();
  gp_signal_give_back ();
}
