/* SPDX-License-Identifier: MIT */
/* cycles.c: suspends, jumps and lags of the cycle counter, which its rate and the accounts have to survive.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include "shim/base/cycle_counter.h"

enum
{
  TOP = 1 << 20,
  STEPS = 20,
  STEP_S = 2
};

static uint64_t g_cycles, g_ns;
static double g_first_rate;

static void
start (void)
{
  core_start (1);
  g_cycles = gp_cycles_read ();
  g_ns = gp_clock_ns (CLOCK_MONOTONIC);
  g_first_rate = (double) g_ns_per_cycle;
}

/* Both clocks advance, the counter by so many seconds. */
static void
go_on (uint64_t counter_s)
{
  g_cycles += gp_cycles_from_ns (1000000000) * counter_s;
  g_ns += STEP_S * 1000000000ull;
  gp_cycles_note (g_cycles, g_ns);
}

static void
go_on_evenly (void)
{
  for (int i = 0; i < STEPS; i++)
    go_on (STEP_S);
}

static void
check_rate (double times)
{
  CHECK_WITHIN ((double) g_ns_per_cycle, g_first_rate * times * 0.999, g_first_rate * times * 1.001);
}

TEST (a_counter_that_ran_through_a_suspend_keeps_its_rate)
{
  start ();
  go_on_evenly ();
  go_on (3600);
  check_rate (1);
  go_on_evenly ();
  check_rate (1);
}

TEST (a_counter_that_begins_anew_keeps_its_rate)
{
  start ();
  go_on_evenly ();
  g_cycles = 1000;
  go_on (STEP_S);
  check_rate (1);
  go_on_evenly ();
  check_rate (1);
}

TEST (another_rate_that_lasts_is_taken_over)
{
  start ();
  go_on_evenly ();
  uint64_t step = gp_cycles_from_ns (1000000000) * STEP_S * 2;
  for (int i = 0; i < STEPS; i++) {
    g_cycles += step;
    g_ns += STEP_S * 1000000000ull;
    gp_cycles_note (g_cycles, g_ns);
  }
  check_rate (0.5);
}

/* A processor whose counter lags by 0.2 ms, and a busy thread that is moved there now and then: the lag is less than
 * the time since the clock was read, and more than the time under this label. */
TEST (a_counter_that_goes_back_leaves_the_accounts_right)
{
  core_start (1);
  uint32_t labels[] = { element ("a"), element ("b") }, moved = element ("moved");
  struct gp_meter *meter = &gp_thread_known ()->meter;
  for (uint32_t i = 0; i < 8000; i++) {
    enter (TOP, i % 5 == 4 ? moved : labels[i % 2]);
    work (20000);
    if (i % 500 == 499) {
      meter->cycles += gp_cycles_from_ns (200000);
      meter->busy_reads = UINT32_MAX / 2; /* as one that has long been busy */
    }
    leave (TOP);
  }
  gp_threads_publish (false);
  CHECK_WITHIN (accounted_ns (0, 0), (double) cpu_ns () * 0.999 - 100000, (double) cpu_ns () * 1.001 + 100000);
}
