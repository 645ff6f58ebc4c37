/* SPDX-License-Identifier: MIT */
/* start.c: the start.
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
#include "shim/labels/account.h"
#include "shim/base/gst_api.h"
#include "shim/home/handover.h"
#include "shim/labels/hooks.h"
#include "shim/redirect/redirect.h"
#include "shared/raw_syscall.h"
#include "shim/labels/label_rows.h"
#include "shim/threads/thread.h"
#include "shim/modules/modules.h"
#include "shim/start/poller.h"
#include "shim/threads/sampler.h"
#include "shim/base/settings.h"
#include "shim/home/home.h"
#include "shim/stop/stop.h"
#include "shim/calls/redirected_calls.h"

enum
{
  SPACE_MB = 512 /* what we map, an embedded Python and its threads; most of it is never touched */
};

static _Atomic bool g_started;

/* The child of a fork has neither poller nor agent, and its parent's segment: it goes on unprofiled. */
static void
in_forked_child (void)
{
  atomic_store (&g_active, false);
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
gp_start_was_called (void)
{
  return atomic_load (&g_started);
}

static void
give_up (const char *what, int error)
{
  gp_say ("cannot profile: %s: %s", what, strerror (error));
}

/* Hands the segment to a controller, where there is one; what else may become of it is for the poller to say. False:
 * nothing is to be profiled. */
static bool
find_home (int memory)
{
  int why;
  enum gp_handover handover = gp_handover_to_controller (memory, &why);
  if (handover == GP_HANDOVER_TAKEN) {
    gp_syscall (SYS_close, memory);
    return true;
  }
  /* Nobody has asked for a server, and the table that was asked for cannot be had. A program that outlives `run` and
   * starts others is none that should hear of it. */
  if (handover != GP_HANDOVER_NONE && !gp_settings_is_set ("server_url")) {
    if (handover == GP_HANDOVER_REFUSED)
      give_up ("`run`, which started this program, cannot be reached", why);
    gp_syscall (SYS_close, memory);
    return false;
  }
  gp_home_prepare (memory);
  return true;
}

void
gp_start (GstTracer *tracer, const char *params)
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
  g_settings_file = gp_settings_is_set ("output");
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
  gp_thread_current ();
  gp_redirected_calls_init ();
  atomic_store (&g_active, true);
  gp_hooks_register (tracer);
  gp_redirect_pass ();
  gp_threads_poll (gp_label_fixed (GP_LABEL_BEFORE));
  if (!find_home (memory)) {
    gp_stop_profiling ();
    return;
  }
  atexit (gp_stop);
  error = gp_poller_start ();
  if (error != 0) {
    gp_stop_profiling ();
    give_up ("no thread", error);
  }
}
