/* SPDX-License-Identifier: MIT */
/* accounts.c: the sum of a thread's accounts is its CPU time, and each label has its share of it.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/resource.h>
#include "core.h"

enum
{
  TOP = 1 << 20
};

static void
check_sum (uint64_t accounted, uint64_t cpu)
{
  CHECK_WITHIN (accounted, (double) cpu * (1 - PART) - READS_NS, (double) cpu * (1 + PART) + READS_NS);
}

/* Number of rounds of work() that take about so long. */
static uint32_t
rounds_for (uint64_t ns)
{
  uint64_t before = cpu_ns ();
  work (20000000);
  return (uint32_t) ((double) ns * 20000000 / (double) (cpu_ns () - before));
}

TEST (the_sum_is_the_threads_cpu_time)
{
  core_start (100);
  uint32_t labels[8];
  for (int i = 0; i < 8; i++)
    labels[i] = element ((char[]) { (char) ('a' + i), '\0' });
  /* stretches of 0.3 us to 3 ms */
  for (uint32_t i = 0; cpu_ns () < 500000000; i++) {
    enter (TOP, labels[i % 8]);
    work (1000u << i % 13);
    leave (TOP);
  }
  gp_threads_publish (false);
  check_sum (accounted_ns (0, own_slot ()), cpu_ns ());
}

TEST (cpu_from_before_has_a_row_of_its_own)
{
  burn (50000000);
  uint64_t before = cpu_ns ();
  core_start (100);
  CHECK_WITHIN (accounted_ns (gp_label_fixed (GP_LABEL_BEFORE), own_slot ()), before, cpu_ns ());
}

/* The time, in ns, that a label's entry and exit take on this machine. */
static double
hooks_ns (uint32_t label)
{
  enum
  {
    TIMES = 20000
  };
  uint64_t before = cpu_ns ();
  for (int i = 0; i < TIMES; i++) {
    enter (TOP, label);
    leave (TOP);
  }
  return (double) (cpu_ns () - before) / TIMES;
}

/* Labels that alternate, one with three times the work of the other: three times the time. */
static void
check_shares (uint64_t ns)
{
  core_start (100);
  uint32_t little = element ("little"), much = element ("much"), rounds = rounds_for (ns);
  double own = hooks_ns (element ("other"));
  for (uint64_t end = cpu_ns () + 400000000; cpu_ns () < end;) {
    for (int i = 0; i < 20; i++) {
      enter (TOP, little);
      work (rounds);
      leave (TOP);
      enter (TOP, much);
      work (3 * rounds);
      leave (TOP);
    }
  }
  gp_threads_publish (false);
  double part = (double) accounted_ns (little, -1), whole = part + (double) accounted_ns (much, -1);
  /* The hooks' own time counts with the stretch. */
  double apart = 0.01 + own / 4 / (double) ns;
  CHECK_WITHIN (part / whole, 0.25 - apart, 0.25 + apart);
  check_sum (accounted_ns (0, own_slot ()), cpu_ns ());
}

TEST (stretches_of_10_us_have_their_shares)
{
  check_shares (10000);
}

TEST (stretches_of_1_us_have_their_shares)
{
  check_shares (1000);
}

TEST (stretches_of_200_us_have_their_shares)
{
  check_shares (200000);
}

TEST (stretches_of_5_ms_have_their_shares)
{
  check_shares (5000000);
}

/* A label that sleeps 30 us at a time and one that works 30 us: their true CPU is read at each switch. */
TEST (stretches_that_sleep_count_as_sleep)
{
  core_start (100);
  prctl (PR_SET_TIMERSLACK, 1);
  uint32_t sleeper = element ("sleeper"), worker = element ("worker"), rounds = rounds_for (30000);
  uint64_t slept = 0, worked = 0, start = gp_clock_ns (CLOCK_MONOTONIC);
  while (gp_clock_ns (CLOCK_MONOTONIC) - start < 600000000) {
    uint64_t a = cpu_ns ();
    enter (TOP, sleeper);
    sleep_ns (30000);
    leave (TOP);
    uint64_t b = cpu_ns ();
    enter (TOP, worker);
    work (rounds);
    leave (TOP);
    uint64_t c = cpu_ns ();
    slept += b - a;
    worked += c - b;
  }
  gp_threads_publish (false);
  /* Some short stretches are estimated by the counter, which takes sleep for work, until the label is known to sleep.
   * And the test's own measure includes what is outside of the label. 5 % of the whole. */
  double error = 0.05 * (double) (slept + worked);
  CHECK_WITHIN (accounted_ns (sleeper, -1), (double) slept - error, (double) slept + error);
  CHECK_WITHIN (accounted_ns (worker, -1), (double) worked - error, (double) worked + error);
  check_sum (accounted_ns (0, own_slot ()), cpu_ns ());
}

/* Two labels that work by turns, without a sleep, until end_ns of the thread's CPU. */
static void
work_by_turns (const uint32_t labels[2], uint32_t rounds, uint64_t end_ns)
{
  for (uint32_t i = 0; cpu_ns () < end_ns; i++) {
    enter (TOP, labels[i % 2]);
    work (rounds);
    leave (TOP);
  }
}

static uint32_t
reads_of_own_clock (void)
{
  return gp_thread_known ()->meter.sequence / 2;
}

static long
switches_of_context (void)
{
  struct rusage usage = { 0 };
  getrusage (RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw + usage.ru_nivcsw;
}

TEST (the_clock_of_a_busy_thread_is_read_once_a_millisecond)
{
  core_start (100);
  uint32_t labels[2] = { element ("a"), element ("b") }, rounds = rounds_for (250000), fewest = UINT32_MAX;
  bool undisturbed = false;
  /* Other load preempts the thread: in one of so many tries there is none. */
  for (int i = 0; i < 100 && fewest > 25; i++) {
    long switches = switches_of_context ();
    work_by_turns (labels, rounds, cpu_ns () + 20000000); /* until the thread counts as busy */
    uint32_t before = reads_of_own_clock ();
    work_by_turns (labels, rounds, cpu_ns () + 20000000);
    uint32_t reads = reads_of_own_clock () - before;
    fewest = reads < fewest ? reads : fewest;
    undisturbed |= switches == switches_of_context ();
  }
  gp_threads_publish (false);
  check_sum (accounted_ns (0, own_slot ()), cpu_ns ());
  if (!undisturbed)
    skip ("other load took the processor away all the time");
  CHECK_WITHIN (fewest, 10, 25); /* 80, if each stretch ended with a read of the clock */
}

/* CPU time, in ns, that the sleeper has more by its account than by the clock. */
static double
begin_to_sleep (const char *sleeper, const char *worker)
{
  uint32_t labels[2] = { element (sleeper), element (worker) }, rounds = rounds_for (250000);
  work_by_turns (labels, rounds, cpu_ns () + 120000000);
  gp_threads_publish (false);
  uint64_t calm = accounted_ns (labels[0], -1), slept = 0;
  for (int i = 0; i < 100; i++) {
    uint64_t before = cpu_ns ();
    enter (TOP, labels[0]);
    sleep_ns (250000);
    leave (TOP);
    slept += cpu_ns () - before;
    enter (TOP, labels[1]);
    work (rounds);
    leave (TOP);
  }
  gp_threads_publish (false);
  return (double) (accounted_ns (labels[0], -1) - calm) - (double) slept;
}

TEST (a_busy_thread_that_begins_to_sleep_is_found_out)
{
  core_start (100);
  prctl (PR_SET_TIMERSLACK, 1);
  double excess = begin_to_sleep ("a", "b") + begin_to_sleep ("c", "d") + begin_to_sleep ("e", "f")
                  + begin_to_sleep ("g", "h") + begin_to_sleep ("i", "j");
  /* The clock is read after a millisecond by the counter, half of which is the worker's. */
  CHECK_WITHIN (excess, -5e6, 5e6);
  check_sum (accounted_ns (0, own_slot ()), cpu_ns ());
}
