/* SPDX-License-Identifier: MIT */
/* stop.c: the host ends. stop.h has the picture of who waits for whom.
 *
 * Hazard: the thread that ends the host may be inside dlopen (in a signal handler, or by exit() in a constructor) and
 * hold the loader's lock. Whoever waits for that lock would then be waited for in vain. The poller sets
 * g_redirect_at_loader while it waits for the lock. An embedded agent cannot do that: Python takes the lock wherever it
 * imports a module. So with an embedded agent the ending thread's own stack is searched for a frame of the loader.
 *
 * Context: lifecycle; stop_at() and on_termination() run in signal context too.
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
#include "shared/raw_syscall.h"
#include "shim/base/gst_api.h"
#include "shim/base/settings.h"
#include "shim/redirect/redirect.h"
#include "shim/signal/handler.h"
#include "shim/threads/thread.h"
#include "shim/threads/tick_signal.h"

enum
{
  STOP_MS = 1000, /* the longest that the host's end may wait for us */
  /* The same where the profile goes to a file and the agent dies with the host. The user expects the file, no server
   * can hang, and a busy machine may need more than a second to start an interpreter. */
  STOP_FILE_MS = 5000,
  LOADER_MS = 50, /* for a poller that waits for the loader's lock: another thread may be about to release it */
  DELIVER_WITHOUT_LOADER_MS = 300, /* for an embedded agent that may never get the loader's lock */
  CHECK_MS = 10                    /* between two checks of g_redirect_at_loader */
};

static _Atomic bool g_ending;
static _Atomic bool g_in_loader;         /* the thread that called gp_stop() first is inside the loader */
static _Atomic bool g_makes_way;         /* see gp_stop_to_make_way() */
static _Atomic bool g_loss_said;         /* the line about a lost profile was printed */
static _Atomic uint64_t g_ending_ns;     /* of the first gp_stop(), CLOCK_MONOTONIC; 0: not called yet */
static uint32_t g_published, g_done;     /* futexes: wait 1 and wait 2 of stop.h are over */
static uintptr_t g_loader, g_loader_end; /* range of the loader's code */

bool
gp_stop_is_wanted (void)
{
  return atomic_load (&g_ending);
}

static bool
dies_with_host (void)
{
  /* When pid 1 ends, the kernel kills every process of its container. */
  return gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED
         || (gp_load (&g_segment->agent_home) == GP_HOME_PROCESS && g_segment->host_pid == 1);
}

/* How long wait 1 may take. */
static uint64_t
publish_limit_ns (void)
{
  return STOP_MS * 1000000ull;
}

/* How long both waits may take together. Asked for anew each time: the poller may choose the home during the wait. */
static uint64_t
delivery_limit_ns (void)
{
  if (atomic_load (&g_in_loader) && dies_with_host ())
    return DELIVER_WITHOUT_LOADER_MS * 1000000ull;
  if (dies_with_host ())
    return (g_settings_file ? STOP_FILE_MS : STOP_MS) * 1000000ull;
  if (!g_settings_file || gp_load (&g_segment->agent_home) != GP_HOME_PROCESS)
    return 0;
  /* Users expect the file to exist when the program has ended. But a short program must not end much later for it. */
  uint64_t tenth = (atomic_load (&g_ending_ns) - g_segment->start_mono_ns) / 10;
  return tenth < STOP_MS * 1000000ull ? tenth : STOP_MS * 1000000ull;
}

/* Returns when *word is set, when the limit is over, or when the poller has waited LOADER_MS for the loader's lock. */
static void
wait_for (uint32_t *word, uint64_t (*limit_ns) (void))
{
  uint64_t at_loader_ns = 0; /* since when; 0: the poller does not wait for the lock */
  while (gp_load_acquire (word) == 0) {
    uint64_t now = gp_clock_ns (CLOCK_MONOTONIC), end = atomic_load (&g_ending_ns) + limit_ns ();
    if (!atomic_load (&g_redirect_at_loader))
      at_loader_ns = 0;
    else if (at_loader_ns == 0)
      at_loader_ns = now;
    if (now >= end || (at_loader_ns != 0 && now - at_loader_ns >= LOADER_MS * 1000000ull))
      return;
    uint64_t left_ms = (end - now) / 1000000 + 1;
    gp_futex_wait (word, 0, left_ms < CHECK_MS ? (unsigned) left_ms : CHECK_MS);
  }
}

/* Nothing is lost where the agent is a process of its own: it outlives the host. */
static void
say_lost (const char *text, size_t bytes)
{
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED && !atomic_load (&g_makes_way)
      && !atomic_exchange (&g_loss_said, true))
    gp_write_stderr (text, bytes);
}

#define SAY_LOST(text) say_lost ((text), sizeof (text) - 1)

/* context: registers of the thread that ends the host. */
static void
stop_at (const void *context)
{
  if ((!atomic_load (&g_active) && !atomic_load (&g_ending)) || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  /* One start of the limits, however many ways the host ends by (gst_deinit, then exit handlers, then a signal). */
  uint64_t unset = 0;
  if (atomic_compare_exchange_strong (&g_ending_ns, &unset, gp_clock_ns (CLOCK_MONOTONIC)))
    atomic_store (&g_in_loader, dies_with_host () && gp_handler_interrupted_in (context, g_loader, g_loader_end));
  atomic_store (&g_ending, true);
  gp_futex_signal (&g_segment->poll);
  wait_for (&g_published, publish_limit_ns);
  wait_for (&g_done, delivery_limit_ns);
  if (gp_load_acquire (&g_done) != 0)
    return;
  if (atomic_load (&g_in_loader))
    SAY_LOST (
        "gst-pyro: the program ended while it loaded a library, and the agent in it may need the loader too: the last "
        "profile is lost. With GST_PYROSCOPE_AGENT=process the agent outlives the program\n");
  else
    SAY_LOST (
        "gst-pyro: the program ended before the agent in it was done, and the last profile is lost: the machine is "
        "busy, or the run was too short. With GST_PYROSCOPE_AGENT=process the agent outlives the program\n");
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
  /* In the child of a fork a thread that exists only in the parent may hold the lock of the log. */
  if (g_segment == NULL || g_segment->host_pid != gp_syscall (SYS_getpid))
    return;
  if (g_segment->stop_on_dispose)
    gp_stop ();
  /* gst_deinit() takes the debug log down next. */
  gp_gst_close_log ();
}

/* SIGINT or SIGTERM that the host leaves at its default: delivers the last window, then lets the host die by the signal
 * as it would have without us. */
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
  /* Blocked until this handler returns. */
  gp_syscall (SYS_tgkill, gp_syscall (SYS_getpid), gp_syscall (SYS_gettid), number);
  errno = saved_errno;
}

static void
find_loader (void)
{
  g_loader = getauxval (AT_BASE);
  const ElfW (Ehdr) *elf = (const ElfW (Ehdr) *) g_loader; /* 0: the loader itself was run as a program */
  const ElfW (Phdr) *header = elf != NULL ? (const ElfW (Phdr) *) (g_loader + elf->e_phoff) : NULL;
  for (int i = 0; header != NULL && i < elf->e_phnum; i++)
    if (header[i].p_type == PT_LOAD && (header[i].p_flags & PF_X) != 0)
      g_loader_end = g_loader + header[i].p_vaddr + header[i].p_memsz;
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
  if (before.sa_handler != SIG_DFL) /* the host has set a handler of its own meanwhile */
    sigaction (number, &before, NULL);
}

void
gp_stop_agent_embedded (void)
{
  find_loader ();
  /* For pid 1 the kernel has no default action: SIGINT and SIGTERM do not end it. */
  if (gp_syscall (SYS_getpid) == 1)
    return;
  catch_termination (SIGINT);
  catch_termination (SIGTERM);
}

void
gp_stop_agent_runs (void)
{
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED)
    atexit (gp_stop);
}

void
gp_stop_published (void)
{
  gp_futex_signal (&g_published);
}

void
gp_stop_done (void)
{
  gp_futex_signal (&g_done);
}

void
gp_stop_profiling (void)
{
  atomic_store (&g_active, false);
  gp_threads_disarm ();
  gp_signal_release ();
}
