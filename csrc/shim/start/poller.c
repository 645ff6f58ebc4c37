/* SPDX-License-Identifier: MIT */
/* poller.c: the poller's loop. poller.h lists its states.
 *
 * Context: poller.
 */
#define _GNU_SOURCE
#include "shim/start/poller.h"

#include <string.h>
#include <time.h>
#include "shim/base/gst_api.h"
#include "shim/home/agent_process.h"
#include "shim/home/home.h"
#include "shim/labels/account.h"
#include "shim/modules/modules.h"
#include "shim/names/names.h"
#include "shim/python/pyroscope_io.h"
#include "shim/redirect/redirect.h"
#include "shim/redirect/redirect_walk.h"
#include "shim/stop/stop.h"
#include "shim/threads/own_thread.h"
#include "shim/threads/signal_watch.h"
#include "shim/threads/thread.h"

enum
{
  PERIOD_MS = 100,
  FOLLOW_MS = 1, /* between two tries to redirect a library that is being loaded */
  FOLLOW_TIMES = 200,
  CALIBRATE_PERIODS = 20, /* between two measurements of the cycle counter's rate */
  REST_MS = 2000,
  QUIET_ROUNDS = 10, /* before a rest */
  QUIET_PART = 500   /* a quiet host uses less than one part in so many of a processor */
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

/* Passes the agent's log lines to GStreamer's log. A line is a digit for the level, text, '\n'. */
static void
forward_log (void)
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

/* Publishes all accounts, and answers the agent where it has asked to close a window. whole: also reads threads' names
 * anew and counts a lost signal, as for a window. */
static void
publish (bool whole)
{
  uint32_t wanted =
      gp_load_acquire (&g_segment->close_wanted); /* pairs with the release in gp_reader_request_close() */
  bool asked = wanted != g_segment->close_done;
  gp_signal_watch (whole || asked);
  gp_threads_publish (whole || asked);
  gp_store (&g_segment->process_cpu_ns, gp_clock_ns (CLOCK_PROCESS_CPUTIME_ID));
  gp_store (&g_segment->close_mono_ns, gp_clock_ns (CLOCK_MONOTONIC));
  if (!asked)
    return;
  __atomic_store_n (&g_segment->close_done, wanted - 1, __ATOMIC_RELEASE);
  gp_futex_signal (&g_segment->close_done); /* raises it to wanted: the accounts are visible to the agent then */
}

static void
say_agent_ended (void)
{
  gp_say ("the agent ended early, and nothing more is profiled. Run again with GST_DEBUG=pyroscope:5 to see why");
}

static bool
agent_has_ended (void)
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

/* Takes in what has changed in the host since the last round. */
static void
refresh (void)
{
  gp_redirect_settle (); /* cheap where no module came */
  log_redirections ();
  gp_modules_refresh ();
  gp_names_refresh ();
  gp_threads_poll (0);
  gp_python_poll ();
}

/* Starts the agent in the host where its process has ended before it ran. False: there is no agent any more. */
static bool
keep_agent (void)
{
  static bool is_up;
  if (!is_up && gp_load_acquire (&g_segment->agent_state) == GP_AGENT_RUNNING) {
    is_up = true;
    gp_stop_agent_runs ();
  }
  if (agent_has_ended ())
    return false;
  if (gp_agent_process_lives () || gp_home_start_elsewhere ())
    return true;
  say_agent_ended ();
  gp_store_release (&g_segment->agent_state, GP_AGENT_REFUSED);
  gp_futex_signal (&g_segment->wake);
  return false;
}

/* Where a library is being loaded whose dlopen() returns to the host without a pass of ours (calls/dlopen.c): redirects
 * it as soon as it is listed. May wait for the loader then: the library may load others and start threads at once. */
static void
follow_loader (void)
{
  for (int i = 0; i < FOLLOW_TIMES && gp_redirect_pending () && !gp_stop_is_wanted (); i++) {
    uint32_t seen = gp_load_acquire (&g_segment->poll);
    gp_redirect_settle ();
    gp_futex_wait (&g_segment->poll, seen, FOLLOW_MS);
  }
}

/* Whether the host has used next to no CPU time in the last rounds, this thread's left out. Once a round. Wakes an
 * agent that may rest as well once the host works again. */
static bool
is_quiet (void)
{
  static uint64_t last_ns, last_cpu_ns;
  static unsigned rounds;
  uint64_t ns = gp_clock_ns (CLOCK_MONOTONIC);
  uint64_t cpu_ns = gp_clock_ns (CLOCK_PROCESS_CPUTIME_ID) - gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
  bool worked = cpu_ns > last_cpu_ns && (cpu_ns - last_cpu_ns) * QUIET_PART > ns - last_ns;
  if (worked && rounds > 1)
    gp_futex_signal (&g_segment->wake);
  rounds = worked ? 0 : rounds + 1;
  last_ns = ns;
  last_cpu_ns = cpu_ns;
  return rounds >= QUIET_ROUNDS;
}

/* Until the next round is due or something asks for one. */
static void
wait_for_round (void)
{
  uint32_t seen = gp_load_acquire (&g_segment->poll);
  bool rests = is_quiet ();
  atomic_store_explicit (&g_poller_rests, rests, memory_order_relaxed);
  if (!gp_stop_is_wanted ())
    gp_futex_wait (&g_segment->poll, seen, rests ? REST_MS : PERIOD_MS);
  atomic_store_explicit (&g_poller_rests, false, memory_order_relaxed);
}

/* The state "profile". */
static void
profile (void)
{
  unsigned periods = 0;
  while (!gp_stop_is_wanted () && keep_agent ()) {
    /* The wait comes first: a host that ends at once needs the last round only. */
    wait_for_round ();
    follow_loader ();
    if (gp_stop_is_wanted ())
      return;
    refresh ();
    publish (false);
    forward_log ();
    if (++periods % CALIBRATE_PERIODS == 0)
      gp_account_calibrate ();
  }
}

/* The state "publish". */
static void
publish_last (void)
{
  refresh ();
  gp_python_stop ();
  publish (true);
  gp_stop_profiling ();
  /* Read again: hooks may have accounted more until profiling stopped. */
  gp_store (&g_segment->process_cpu_ns, gp_clock_ns (CLOCK_PROCESS_CPUTIME_ID));
  gp_store_release (&g_segment->host_state, agent_has_ended () ? GP_HOST_INERT : GP_HOST_STOPPING);
  gp_futex_signal (&g_segment->wake);
  gp_stop_published ();
}

/* The state "deliver". */
static void
wait_for_delivery (void)
{
  while (!agent_has_ended () && gp_agent_process_lives ()) {
    uint32_t state = gp_load_acquire (&g_segment->agent_state);
    forward_log ();
    if (!agent_has_ended ())
      gp_futex_wait (&g_segment->agent_state, state, PERIOD_MS);
  }
  forward_log ();
  if (!agent_has_ended ())
    say_agent_ended ();
  gp_stop_done ();
}

static void *
poller_main (void *unused)
{
  (void) unused;
  log_sample_clock ();
  gp_home_start_agent ();
  profile ();
  publish_last ();
  wait_for_delivery ();
  return NULL;
}

int
gp_poller_start (void)
{
  return gp_own_thread_start (poller_main, NULL, "gst-pyro");
}
