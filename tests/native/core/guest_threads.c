/* SPDX-License-Identifier: MIT */
/* guest_threads.c: hosts whose threads are cancelled, end at once, or have real-time priority.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "core.h"
#include "shim/threads/own_thread.h"

enum
{
  RATE_HZ = 1000
};

static void *
burn_until_cancelled (void *unused)
{
  (void) unused;
  pthread_setcanceltype (PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  for (;;)
    work (1000);
  return NULL;
}

TEST (a_thread_cancelled_at_any_moment_leaves_no_half_written_record)
{
  core_start (RATE_HZ);
  /* On a loaded machine the threads need more rounds. */
  for (uint32_t i = 0; i < 150 || (counter (GP_COUNTER_SAMPLES) < 20 && i < 15000); i++) {
    pthread_t id;
    host_create (&id, NULL, burn_until_cancelled, NULL);
    sleep_ns (1000000 + i * 7919 % 1000000);
    pthread_cancel (id);
    pthread_join (id, NULL);
    free_ended ();
  }
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 20, 1e6);
  drain_to_the_end ();
}

static void *
do_nothing (void *unused)
{
  return unused;
}

/* Our calls that are cancellation points must not end a thread that holds a lock of ours. */
TEST (a_thread_cancelled_at_its_start_leaves_the_registry_unlocked)
{
  core_start (RATE_HZ);
  for (int i = 0; i < 500; i++) {
    pthread_t id;
    host_create (&id, NULL, do_nothing, NULL);
    pthread_cancel (id);
    pthread_join (id, NULL);
    free_ended ();
  }
  CHECK_EQUAL (pthread_mutex_trylock (&g_registry), 0);
}

static uint64_t
pending_signals_of_user (void)
{
  unsigned long used = 0;
  char line[256];
  FILE *status = fopen ("/proc/self/status", "re");
  while (status != NULL && fgets (line, sizeof line, status) != NULL)
    if (sscanf (line, "SigQ: %lu/", &used) == 1)
      break;
  fclose (status);
  return used;
}

static int
open_descriptors (void)
{
  int n = 0;
  for (int fd = 0; fd < 65536; fd++)
    n += fcntl (fd, F_GETFD) >= 0;
  return n;
}

static void *
live_shortly (void *unused)
{
  (void) unused;
  work (20000);
  return NULL;
}

static void *
poll_until_done (void *done)
{
  while (!atomic_load ((_Atomic bool *) done)) {
    gp_threads_poll (0);
    gp_threads_publish (true);
    free_ended ();
    drain (false, NULL);
    sleep_ns (1000000);
  }
  return NULL;
}

/* Timers count against the user's RLIMIT_SIGPENDING, in all his processes. */
TEST (two_thousand_short_threads_leave_nothing_behind)
{
  enum
  {
    BATCH = 20,
    BATCHES = SANITIZED ? 25 : 100
  };
  core_start (RATE_HZ);
  static _Atomic bool done;
  pthread_t poller, ids[BATCH];
  /* TSan makes a thread of its own with the first one, which is found */
  host_create (&ids[0], NULL, live_shortly, NULL);
  pthread_join (ids[0], NULL);
  gp_threads_poll (0);
  int descriptors = open_descriptors ();
  uint64_t signals = pending_signals_of_user ();
  pthread_create (&poller, NULL, poll_until_done, &done);
  for (int i = 0; i < BATCHES; i++) {
    for (int k = 0; k < BATCH; k++) {
      /* every other one is made without our trampoline */
      int (*create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *) =
          k % 2 ? host_create : pthread_create;
      CHECK_EQUAL (create (&ids[k], NULL, live_shortly, NULL), 0);
    }
    for (int k = 0; k < BATCH; k++)
      pthread_join (ids[k], NULL);
  }
  done = true;
  pthread_join (poller, NULL);
  /* a thread is joined a moment before the kernel has ended it */
  for (int i = 0; i < 1000 && open_descriptors () != descriptors; i++) {
    sleep_ns (1000000);
    gp_threads_poll (0);
  }
  CHECK_EQUAL (open_descriptors (), descriptors);
  /* other processes of the user count too: the leak would be of 2,000 */
  CHECK_WITHIN ((double) pending_signals_of_user () - (double) signals, -1e6, 200);
  CHECK_EQUAL (counter (GP_COUNTER_UNARMED), 0);
  CHECK_WITHIN (g_segment->threads_taken.words_used, 1, 4);
}

static _Atomic int g_policy = -1;

static void *
say_policy (void *unused)
{
  g_policy = sched_getscheduler (0);
  return unused;
}

/* With its priority the agent, and Python in it, would compete with the host's threads. */
TEST (threads_of_ours_in_a_real_time_host_are_ordinary_ones)
{
  struct sched_param priority = { .sched_priority = 1 };
  if (sched_setscheduler (0, SCHED_FIFO, &priority) != 0)
    skip ("real-time priority is not permitted here");
  core_start (RATE_HZ);
  CHECK_EQUAL (gp_own_thread_start (say_policy, NULL, "ours"), 0);
  while (g_policy < 0)
    sleep_ns (100000);
  CHECK_EQUAL (g_policy, SCHED_OTHER);
  CHECK_EQUAL (sched_getscheduler (0), SCHED_FIFO);
}
