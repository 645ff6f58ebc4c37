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
  BASE_READS = 10000, /* at most for it, which take 10 ms or more: the clock may stand still, as in an emulator */
  SLACK_NS =
      100000,   /* two clocks may differ by so much where nothing has happened but an interrupt between their reads */
  ODD_PART = 64 /* and by one part in so many of the time */
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

/* Whether the counter has jumped since the last reading. Through a suspend it runs on or begins anew, as it may after a
 * snapshot of the machine, while the monotonic clock stands still. */
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
  /* A base with a jump in it would give a wrong rate for hours. Two odd readings in a row are no jump but another rate.
   */
  if (odd && g_was_odd && cycles > g_last.cycles)
    set_rate (cycles - g_last.cycles, ns - g_last.ns);
  else if (!odd)
    set_rate (cycles - g_base.cycles, ns - g_base.ns);
  g_last = (struct moment) { cycles, ns };
  if (odd)
    g_base = g_last;
  g_was_odd = odd;
}

/* Reads both clocks at one moment: of several tries, the shortest, since that was interrupted least. */
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
