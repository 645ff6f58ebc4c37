/* SPDX-License-Identifier: MIT */
/* poller.c: housekeeping from outside the host's threads.
 *
 * Context: poller.
 */
#define _GNU_SOURCE
#include "shim/start/poller.h"

#include <string.h>
#include <time.h>
#include "shim/labels/account.h"
#include "shim/base/gst_api.h"
#include "shim/redirect/redirect.h"
#include "shim/redirect/redirect_walk.h"
#include "shim/threads/signal_watch.h"
#include "shim/modules/modules.h"
#include "shim/names/names.h"
#include "shim/python/pyroscope_io.h"
#include "shim/home/home.h"
#include "shim/stop/stop.h"
#include "shim/threads/thread.h"
#include "shim/home/agent_process.h"
#include "shim/threads/own_thread.h"

enum
{
  PERIOD_MS = 100,
  FOLLOW_MS = 1,
  FOLLOW_TIMES = 200,
  CALIBRATE_PERIODS = 20
};

static void
log_sample_clock (void)
{
  static const char *const clocks[] = {
    [GP_CLOCK_NONE] = "none: no signal was free, accounts only",
    [GP_CLOCK_PERF] = "perf task-clock in user code, CPU timers in the kernel",
    [GP_CLOCK_TIMER] = "CPU timers",
  };
  gp_gst_log (GST_LEVEL_INFO, "%u Hz, clock: %s, signal %u", g_segment->sample_rate_hz, clocks[g_segment->clock],
      g_segment->signal);
}

/* The agent's lines: a level digit, text, '\n'. */
static void
pass_log_on (void)
{
  char line[1024];
  size_t used = 0;
  uint32_t read = g_segment->log_read;
  uint32_t written = gp_load_acquire (&g_segment->log_written); /* pairs with the release in gp_reader_log() */
  for (; read != written; read++) {
    char c = g_segment->log[read % GP_LOG];
    if (c != '\n') {
      if (used < sizeof line - 1)
        line[used++] = c;
      continue;
    }
    line[used] = '\0';
    if (used > 1)
      gp_gst_log ((GstDebugLevel) (line[0] - '0'), "%s", line + 1);
    used = 0;
    gp_store_release (&g_segment->log_read, read + 1);
  }
}

static void
close_window (bool names)
{
  uint32_t wanted =
      gp_load_acquire (&g_segment->close_wanted); /* pairs with the release in gp_reader_request_close() */
  bool asked = wanted != g_segment->close_done;
  gp_signal_watch (names || asked);
  gp_threads_publish (names || asked);
  gp_store (&g_segment->process_cpu_ns, gp_clock_ns (CLOCK_PROCESS_CPUTIME_ID));
  gp_store (&g_segment->close_mono_ns, gp_clock_ns (CLOCK_MONOTONIC));
  if (!asked)
    return;
  __atomic_store_n (&g_segment->close_done, wanted - 1, __ATOMIC_RELEASE);
  gp_segment_signal (&g_segment->close_done); /* raises it to wanted: the closed accounts are visible then */
}

static void
say_agent_ended (void)
{
  gp_say ("the agent ended early; nothing more is profiled. GST_DEBUG=pyroscope:5 says more");
}

static bool
agent_is_over (void)
{
  uint32_t state = gp_load_acquire (&g_segment->agent_state);
  return state == GP_AGENT_REFUSED || state == GP_AGENT_DONE;
}

static void
log_redirections (void)
{
  static uint32_t logged;
  uint32_t slots = gp_redirect_slots ();
  if (slots == logged)
    return;
  logged = slots;
  gp_gst_log (GST_LEVEL_DEBUG, "%u import slots of %u modules redirected", slots, gp_redirect_modules ());
}

static void
look_around (void)
{
  gp_redirect_settle (); /* cheap where nothing came */
  log_redirections ();
  gp_modules_refresh ();
  gp_names_refresh ();
  gp_threads_poll (0);
  gp_python_poll ();
}

/* Whether all goes on. */
static bool
look_after_agent (void)
{
  static bool announced;
  if (!announced && gp_load_acquire (&g_segment->agent_state) == GP_AGENT_RUNNING) {
    announced = true;
    gp_stop_agent_runs ();
  }
  if (agent_is_over ())
    return false;
  if (gp_agent_process_lives () || gp_home_start_elsewhere ())
    return true;
  say_agent_ended ();
  gp_store_release (&g_segment->agent_state, GP_AGENT_REFUSED);
  gp_segment_signal (&g_segment->wake);
  return false;
}

/* A library is being loaded that nobody will redirect on the way out of dlopen(). It is looked for until it is there,
 * and its loader is waited for then: what it loads and starts itself comes right behind. */
static void
follow_loader (void)
{
  for (int i = 0; i < FOLLOW_TIMES && gp_redirect_pending () && !gp_stop_is_wanted (); i++) {
    uint32_t seen = gp_load_acquire (&g_segment->poll);
    gp_redirect_settle ();
    gp_segment_wait (&g_segment->poll, seen, FOLLOW_MS);
  }
}

static void
profile_until_the_end (void)
{
  unsigned periods = 0;
  while (!gp_stop_is_wanted () && look_after_agent ()) {
    uint32_t seen = gp_load_acquire (&g_segment->poll);
    /* First, for a host that ends at once needs one look only, the last. */
    if (!gp_stop_is_wanted ())
      gp_segment_wait (&g_segment->poll, seen, PERIOD_MS);
    follow_loader ();
    if (gp_stop_is_wanted ())
      return;
    look_around ();
    close_window (false);
    pass_log_on ();
    if (++periods % CALIBRATE_PERIODS == 0)
      gp_account_calibrate ();
  }
}

static void *
poller_main (void *unused)
{
  (void) unused;
  log_sample_clock ();
  gp_home_start_agent ();
  profile_until_the_end ();
  look_around ();
  gp_python_stop ();
  close_window (true);
  gp_stop_profiling ();
  /* Again, behind all that hooks could account meanwhile. */
  gp_store (&g_segment->process_cpu_ns, gp_clock_ns (CLOCK_PROCESS_CPUTIME_ID));
  gp_store_release (&g_segment->host_state, agent_is_over () ? GP_HOST_INERT : GP_HOST_STOPPING);
  gp_segment_signal (&g_segment->wake);
  gp_stop_closed ();
  while (!agent_is_over () && gp_agent_process_lives ()) {
    uint32_t state = gp_load_acquire (&g_segment->agent_state);
    pass_log_on ();
    if (!agent_is_over ())
      gp_segment_wait (&g_segment->agent_state, state, PERIOD_MS);
  }
  pass_log_on ();
  if (!agent_is_over ())
    say_agent_ended ();
  gp_stop_over ();
  return NULL;
}

int
gp_poller_start (void)
{
  return gp_own_thread_start (poller_main, NULL, "gst-pyro");
}
