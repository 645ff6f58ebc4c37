/* SPDX-License-Identifier: MIT */
/* guest_events.c: hosts that close the descriptors of our perf events.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include "core.h"

enum
{
  RATE_HZ = 1000
};

/* As daemon() and others do: all descriptors are closed, and their numbers reused. */
TEST (a_host_that_closes_all_descriptors_keeps_what_it_opens_next)
{
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  int number = gp_thread_known ()->perf_fd;
  int file = open ("/dev/null", O_RDONLY);
  CHECK_EQUAL (dup2 (file, number), number);
  burn (20000000);
  gp_threads_disarm ();
  CHECK_EQUAL (gp_thread_known ()->perf_fd, -1);
  CHECK_WITHIN (fcntl (number, F_GETFD), 0, 1);
}

static uint64_t g_whole_samples;

static void
count_whole (const struct gp_record *record)
{
  g_whole_samples += record->depth > 1;
}

TEST (a_host_that_closes_all_descriptors_is_sampled_again)
{
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  CHECK_EQUAL (close (gp_thread_known ()->perf_fd), 0);
  gp_threads_publish (false);
  drain (false, NULL);
  uint64_t before = cpu_ns ();
  work (400000000);
  drain (false, count_whole);
  /* A quarter of what there should be. */
  CHECK (g_whole_samples > (cpu_ns () - before) * RATE_HZ / 4 / 1000000000);
  int fd = gp_thread_known ()->perf_fd;
  gp_threads_publish (false);
  CHECK_EQUAL (gp_thread_known ()->perf_fd, fd);
}

static struct gp_thread *_Atomic g_other;
static _Atomic bool g_other_may_go;

static void *
burn_until_told (void *unused)
{
  g_other = gp_thread_known ();
  while (!g_other_may_go)
    work (100000);
  return unused;
}

/* The host closes the event of this thread, and another thread's gets its number. */
static pthread_t
lose_event_to_another (void)
{
  pthread_t id;
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  CHECK_EQUAL (close (gp_thread_known ()->perf_fd), 0);
  host_create (&id, NULL, burn_until_told, NULL);
  while (g_other == NULL)
    sleep_ns (100000);
  CHECK_EQUAL (g_other->perf_fd, gp_thread_known ()->perf_fd);
  return id;
}

static void
let_other_go (pthread_t id)
{
  g_other_may_go = true;
  pthread_join (id, NULL);
}

TEST (a_thread_whose_events_number_is_another_threads_gets_an_event_of_its_own)
{
  pthread_t id = lose_event_to_another ();
  int fd = g_other->perf_fd;
  gp_threads_publish (false);
  CHECK_EQUAL (g_other->perf_fd, fd);
  CHECK (gp_thread_known ()->perf_fd != fd);
  CHECK (gp_thread_has_event (gp_thread_known ()));
  let_other_go (id);
}

TEST (a_thread_that_is_disarmed_leaves_another_threads_event_open)
{
  pthread_t id = lose_event_to_another ();
  int fd = g_other->perf_fd;
  gp_sampler_disarm (gp_thread_known ());
  CHECK_EQUAL (fcntl (fd, F_GETFD), FD_CLOEXEC);
  let_other_go (id);
}

static uint64_t g_by_slot[2];

static void
count_by_slot (const struct gp_record *record)
{
  if (record->thread < 2)
    g_by_slot[record->thread] += record->weight;
}

/* Until the poller opens another event: by its timer, and without touching the event that is not its own. */
TEST (a_thread_that_lost_its_event_to_another_is_sampled_beside_it)
{
  pthread_t id = lose_event_to_another ();
  drain (false, NULL);
  uint64_t before = cpu_ns (), before_other = gp_clock_ns (g_other->cpu_clock);
  while (cpu_ns () - before < 300000000)
    work (1000000);
  uint64_t ticks = (cpu_ns () - before) * RATE_HZ / 1000000000;
  uint64_t ticks_other = (gp_clock_ns (g_other->cpu_clock) - before_other) * RATE_HZ / 1000000000;
  drain (false, count_by_slot);
  CHECK_WITHIN (g_by_slot[gp_thread_slot (gp_thread_known ())], ticks / 2, ticks * 2);
  CHECK_WITHIN (g_by_slot[gp_thread_slot (g_other)], ticks_other / 2, ticks_other * 2);
  let_other_go (id);
}
