/* SPDX-License-Identifier: MIT */
/* cycle_counter.c: finds the cycle counter's rate.
 *
 * Context: lifecycle and poller.
 */
#include "shim/base/cycle_counter.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum
{
  TRIES = 16,
  BASE_NS = 1000000,  /* the first calibration's */
  BASE_READS = 10000, /* for it at most: 10 ms and more; a clock that stands, as in an emulator, is not waited for */
  SLACK_NS = 100000,  /* by which two clocks may differ though nothing has happened: read far apart, one or the other */
  ODD_PART = 64       /* or by one part in so many */
};

uint64_t g_ns_per_cycle;
#if defined(__x86_64__)
bool g_counter_invariant;
#endif
static struct moment
{
  uint64_t cycles;
  uint64_t ns;
} g_base, g_last;
static bool g_was_odd;

static void
set_rate (uint64_t cycles, uint64_t ns)
{
  if (cycles == 0)
    return;
  uint64_t rate = (uint64_t) (((unsigned __int128) ns << 32) / cycles);
  if (rate != 0)
    gp_store (&g_ns_per_cycle, rate);
}

/* Whether the counter made a leap since the last time: it runs on through a suspend, or begins anew behind one, or
 * behind a snapshot of the machine, and the monotonic clock stands still. */
static bool
is_odd (uint64_t cycles, uint64_t ns)
{
  if (cycles < g_last.cycles)
    return true;
  uint64_t by_counter = gp_cycles_to_ns (cycles - g_last.cycles), by_clock = ns - g_last.ns;
  uint64_t apart = by_counter > by_clock ? by_counter - by_clock : by_clock - by_counter;
  return apart > SLACK_NS + by_clock / ODD_PART;
}

void
gp_cycles_note (uint64_t cycles, uint64_t ns)
{
  bool odd = is_odd (cycles, ns);
  /* The rate of a base with a leap in it would be wrong for hours. Twice in a row is no leap but another rate. */
  if (odd && g_was_odd && cycles > g_last.cycles)
    set_rate (cycles - g_last.cycles, ns - g_last.ns);
  else if (!odd)
    set_rate (cycles - g_base.cycles, ns - g_base.ns);
  g_last = (struct moment) { cycles, ns };
  if (odd)
    g_base = g_last;
  g_was_odd = odd;
}

/* Both clocks at one moment: of several tries the one in which the thread was interrupted least. */
static void
read_both (uint64_t *cycles, uint64_t *ns)
{
  uint64_t shortest = UINT64_MAX;
  *cycles = *ns = 0;
  for (int i = 0; i < TRIES; i++) {
    uint64_t before = gp_cycles_read ();
    uint64_t now = gp_clock_ns (CLOCK_MONOTONIC);
    uint64_t took = gp_cycles_read () - before;
    if (took < shortest) {
      shortest = took;
      *cycles = before + took / 2;
      *ns = now;
    }
  }
}

void
gp_cycles_begin (void)
{
#if defined(__x86_64__)
  unsigned eax, ebx, ecx, edx;
  g_counter_invariant = __get_cpuid (0x80000007, &eax, &ebx, &ecx, &edx) && (edx & 1u << 8) != 0;
#endif
  read_both (&g_base.cycles, &g_base.ns);
}

void
gp_cycles_calibrate (void)
{
  uint64_t cycles, ns;
  if (g_base.ns == 0)
    gp_cycles_begin ();
  if (g_ns_per_cycle == 0) {
    read_both (&cycles, &ns);
    for (int i = 0; i < BASE_READS && ns - g_base.ns < BASE_NS; i++)
      read_both (&cycles, &ns);
    set_rate (cycles - g_base.cycles, ns - g_base.ns);
    g_last = (struct moment) { cycles, ns };
  } else {
    read_both (&cycles, &ns);
    gp_cycles_note (cycles, ns);
  }
}
