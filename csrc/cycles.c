/* SPDX-License-Identifier: MIT */
/* cycles.c: finds the cycle counter's rate.
 *
 * Context: lifecycle and poller.
 */
#include "cycles.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum
{
  TRIES = 16,
  BASE_NS = 1000000 /* the first calibration's */
};

uint64_t g_ns_per_cycle;
#if defined(__x86_64__)
bool g_counter_invariant;
#endif
static uint64_t g_start_cycles, g_start_ns;

static void
set_rate (uint64_t cycles, uint64_t ns)
{
  if (cycles == 0)
    return;
  uint64_t rate = (uint64_t) (((unsigned __int128) ns << 32) / cycles);
  if (rate != 0)
    gp_store (&g_ns_per_cycle, rate);
}

/* Both clocks at one moment: of several tries the one in which the thread was interrupted least. */
static void
read_both (uint64_t *cycles, uint64_t *ns)
{
  uint64_t shortest = UINT64_MAX;
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
gp_cycles_calibrate (void)
{
  uint64_t cycles = 0, ns = 0;
  if (g_start_ns == 0) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    g_counter_invariant = __get_cpuid (0x80000007, &eax, &ebx, &ecx, &edx) && (edx & 1u << 8) != 0;
#endif
    read_both (&g_start_cycles, &g_start_ns);
    do
      read_both (&cycles, &ns);
    while (ns - g_start_ns < BASE_NS);
  } else {
    read_both (&cycles, &ns);
  }
  set_rate (cycles - g_start_cycles, ns - g_start_ns);
}
