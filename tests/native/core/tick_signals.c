/* SPDX-License-Identifier: MIT */
/* tick_signals.c: the signal of the ticks, and what the host keeps of its own signals.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <signal.h>
#include "core.h"
#include "shim/threads/signal_watch.h"
#include "shim/threads/sigwait.h"
#include "shim/threads/tick_signal.h"

enum
{
  RATE_HZ = 250
};

static void
send_foreign (int number)
{
  union sigval value = { .sival_int = 1 };
  kill (getpid (), number);
  raise (number);
  sigqueue (getpid (), number, value);
}

TEST (a_foreign_signal_is_counted_and_samples_nothing)
{
  start_with (GP_CLOCK_TIMER, 1);
  send_foreign ((int) g_segment->signal);
  CHECK_EQUAL (counter (GP_COUNTER_FOREIGN_SIGNALS), 3);
  CHECK_EQUAL (counter (GP_COUNTER_SAMPLES), 0);
}

/* A timer of the host's with the same signal: its cookie is not ours. */
TEST (a_foreign_timer_is_counted_and_samples_nothing)
{
  start_with (GP_CLOCK_TIMER, 1);
  struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = (int) g_segment->signal };
  struct itimerspec once = { .it_value = { .tv_nsec = 1000000 } };
  void *const cookies[] = { NULL, &event, (char *) g_threads + 1, (char *) (g_threads + GP_THREADS) };
  for (int i = 0; i < 4; i++) {
    timer_t timer;
    event.sigev_value.sival_ptr = cookies[i];
    CHECK_EQUAL (timer_create (CLOCK_MONOTONIC, &event, &timer), 0);
    timer_settime (timer, 0, &once, NULL);
    sleep_ns (20000000);
    timer_delete (timer);
  }
  CHECK_EQUAL (counter (GP_COUNTER_FOREIGN_SIGNALS), 4);
  CHECK_EQUAL (counter (GP_COUNTER_SAMPLES), 0);
}

static _Atomic uint32_t g_host_signals;

static void
on_host_signal (int number)
{
  (void) number;
  g_host_signals++;
}

static void
host_takes (int number)
{
  struct sigaction action = { .sa_handler = on_host_signal };
  sigaction (number, &action, NULL);
}

TEST (a_signal_that_the_host_handles_is_left_to_it)
{
  host_takes (SIGURG);
  core_start (RATE_HZ);
  CHECK_EQUAL (g_segment->signal, SIGWINCH);
  burn (100000000);
  raise (SIGURG);
  CHECK_EQUAL (g_host_signals, 1);
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 5, 100);
  CHECK_EQUAL (counter (GP_COUNTER_FOREIGN_SIGNALS), 0);
}

TEST (without_a_free_signal_accounts_go_on_alone)
{
  host_takes (SIGURG);
  host_takes (SIGWINCH);
  core_start (RATE_HZ);
  CHECK_EQUAL (g_segment->clock, GP_CLOCK_NONE);
  uint64_t before = accounted_ns (0, -1);
  burn (100000000);
  gp_threads_publish (false);
  CHECK_WITHIN (accounted_ns (0, -1) - before, 99000000, 110000000);
  CHECK_EQUAL (counter (GP_COUNTER_SAMPLES), 0);
  CHECK_EQUAL (g_host_signals, 0);
}

/* As Go's runtime does. */
static void
start_in_a_runtime (void)
{
  static const int taken[] = { SIGURG, SIGWINCH, SIGCHLD, SIGIO };
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
    host_takes (taken[i]);
  core_start (1000);
  CHECK_EQUAL (g_segment->signal, SIGRTMIN);
  CHECK_EQUAL (g_segment->clock, GP_CLOCK_TIMER);
}

TEST (where_a_runtime_takes_all_signals_one_that_it_leaves_alone_does)
{
  start_in_a_runtime ();
  burn (100000000);
  CHECK_WITHIN (ticks_sampled (), fewest_ticks (100000000), 200);
  CHECK_EQUAL (g_host_signals, 0);
}

static void
set_blocked (int how)
{
  sigset_t set;
  sigemptyset (&set);
  sigaddset (&set, SIGRTMIN);
  pthread_sigmask (how, &set, NULL);
}

static bool
is_pending (void)
{
  sigset_t pending;
  sigemptyset (&pending);
  sigpending (&pending);
  return sigismember (&pending, SIGRTMIN) == 1;
}

/* The signal's default would end the process. */
TEST (a_tick_that_is_pending_at_the_stop_does_not_end_the_host)
{
  start_in_a_runtime ();
  set_blocked (SIG_BLOCK);
  burn (100000000);
  CHECK (is_pending ());
  gp_threads_disarm ();
  gp_signal_release ();
  CHECK (!is_pending ());
  set_blocked (SIG_UNBLOCK);
  burn (50000000);
  struct sigaction now;
  sigaction (SIGRTMIN, NULL, &now);
  CHECK (now.sa_handler == SIG_DFL);
}

TEST (a_host_that_resets_all_signals_is_not_ended_by_the_next_tick)
{
  start_in_a_runtime ();
  set_blocked (SIG_BLOCK);
  signal (SIGRTMIN, SIG_DFL);
  burn (20000000);
  gp_signal_watch (false);
  set_blocked (SIG_UNBLOCK);
  uint64_t before = ticks_sampled ();
  burn (100000000);
  CHECK_WITHIN (ticks_sampled () - before, fewest_ticks (100000000), 200);
}

/* After an exec a pending tick would end the next program, which has no handler. */
TEST (no_tick_outlives_an_exec)
{
  enum
  {
    ROUNDS = 60
  };
  const char *given = getenv ("GP_TEST_ROUND");
  int round = given != NULL ? atoi (given) : 0;
  if (round == ROUNDS)
    return;
  start_in_a_runtime ();
  burn (5000000 + (uint64_t) round * 100000);
  char next[16];
  snprintf (next, sizeof next, "%d", round + 1);
  setenv ("GP_TEST_ROUND", next, 1);
  execl ("/proc/self/exe", "tick_signals", "no_tick_outlives_an_exec", (char *) NULL);
  CHECK (false);
}

TEST (a_host_that_takes_the_signal_later_gets_none_of_our_ticks)
{
  core_start (1000);
  burn (20000000);
  struct sigaction ours, host = { .sa_handler = on_host_signal };
  sigaction (SIGURG, &host, &ours);
  gp_signal_watch (true);
  CHECK_EQUAL (g_segment->signal, SIGWINCH);
  CHECK_EQUAL (counter (GP_COUNTER_SIGNAL_TAKEN), 0);
  g_host_signals = 0; /* forget ticks that were pending until then */
  uint64_t by_urg = ticks_sampled ();
  burn (100000000);
  CHECK_EQUAL (g_host_signals, 0);
  CHECK_WITHIN (ticks_sampled () - by_urg, fewest_ticks (100000000), 200);
  /* And the other one. */
  sigaction (SIGWINCH, &host, &ours);
  gp_signal_watch (false);
  CHECK_EQUAL (counter (GP_COUNTER_SIGNAL_TAKEN), 0);
  gp_signal_watch (true);
  CHECK_EQUAL (counter (GP_COUNTER_SIGNAL_TAKEN), 1);
  g_host_signals = 0;
  burn (100000000);
  CHECK_EQUAL (g_host_signals, 0);
  /* The host restores our handler: there are samples again. */
  sigaction ((int) g_segment->signal, &ours, NULL);
  uint64_t before = ticks_sampled ();
  gp_signal_watch (true);
  burn (100000000);
  CHECK_WITHIN (ticks_sampled () - before, fewest_ticks (100000000), 200);
}

TEST (after_the_stop_the_signal_is_as_it_was)
{
  signal (SIGURG, SIG_IGN);
  core_start (1000);
  burn (20000000);
  atomic_store (&g_active, false);
  gp_threads_disarm ();
  gp_signal_release ();
  struct sigaction now;
  sigaction (SIGURG, NULL, &now);
  CHECK (now.sa_handler == SIG_IGN);
  uint64_t before = counter (GP_COUNTER_SAMPLES);
  burn (50000000);
  CHECK_EQUAL (counter (GP_COUNTER_SAMPLES), before);
}

/* Blocks the sampling signal and works until a tick of the perf event is pending. */
static void
leave_a_tick_pending (sigset_t *ticks)
{
  start_with (GP_CLOCK_PERF, 1000);
  struct gp_thread *thread = gp_thread_known ();
  /* Of two pending signals of one number the kernel keeps one: the timer's is not the one that is meant. */
  syscall (SYS_timer_delete, thread->timer);
  thread->timer = -1;
  sigemptyset (ticks);
  sigaddset (ticks, (int) g_segment->signal);
  pthread_sigmask (SIG_BLOCK, ticks, NULL);
  sigset_t pending;
  do {
    work (100000);
    sigpending (&pending);
  } while (!sigismember (&pending, (int) g_segment->signal));
}

static void
check_that_a_wait_discards_the_tick (const sigset_t *ticks)
{
  static const struct timespec at_once = { 0 };
  uint64_t waited = counter (GP_COUNTER_DROPPED_WAITED);
  CHECK_EQUAL (gp_sigtimedwait (ticks, NULL, &at_once), -1);
  CHECK_EQUAL (counter (GP_COUNTER_DROPPED_WAITED), waited + 1);
}

TEST (a_wait_discards_a_tick_whose_event_is_closed_meanwhile)
{
  sigset_t ticks;
  leave_a_tick_pending (&ticks);
  gp_threads_disarm ();
  check_that_a_wait_discards_the_tick (&ticks);
}

TEST (a_wait_discards_a_tick_of_the_signal_that_was_ours_before)
{
  sigset_t ticks;
  leave_a_tick_pending (&ticks);
  host_takes (SIGURG);
  gp_signal_watch (true);
  CHECK_EQUAL (g_segment->signal, SIGWINCH);
  check_that_a_wait_discards_the_tick (&ticks);
}

static void *
say_mask (void *into)
{
  pthread_sigmask (SIG_SETMASK, NULL, into);
  return NULL;
}

TEST (a_new_thread_keeps_a_signal_blocked_that_the_host_has_taken)
{
  core_start (1000);
  sigset_t all, before, of_thread;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  host_takes (SIGURG);
  host_takes (SIGWINCH);
  gp_signal_watch (true);
  pthread_t id;
  host_create (&id, NULL, say_mask, &of_thread);
  pthread_join (id, NULL);
  CHECK_EQUAL (sigismember (&of_thread, SIGURG), 1);
  CHECK_EQUAL (sigismember (&of_thread, SIGWINCH), 1);
}

/* The host takes both signals, and restores our handler for one: at the stop that has the action again that it had at
 * the start. */
TEST (after_the_stop_a_signal_that_came_back_is_as_it_was)
{
  signal (SIGURG, SIG_IGN);
  core_start (1000);
  struct sigaction ours, now, host = { .sa_handler = on_host_signal };
  host_takes (SIGWINCH);
  sigaction (SIGURG, &host, &ours);
  gp_signal_watch (true);
  CHECK_EQUAL (counter (GP_COUNTER_SIGNAL_TAKEN), 1);
  sigaction (SIGURG, &ours, NULL);
  gp_signal_watch (true);
  gp_threads_disarm ();
  gp_signal_release ();
  sigaction (SIGURG, NULL, &now);
  CHECK (now.sa_handler == SIG_IGN);
}

/* A thread that starts during the stop, and attaches after it, is not armed. */
TEST (after_the_stop_nobody_is_armed)
{
  core_start (1000);
  gp_threads_disarm ();
  pthread_t id;
  host_create (&id, NULL, (void *(*) (void *) ) (uintptr_t) gp_thread_known, NULL);
  pthread_join (id, NULL);
  for (uint32_t i = gp_thread_next (0); i != GP_NO_ROW; i = gp_thread_next (i + 1))
    CHECK (g_threads[i].perf_fd == -1 && g_threads[i].timer == -1);
}
