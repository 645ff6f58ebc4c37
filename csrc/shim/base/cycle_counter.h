/* SPDX-License-Identifier: MIT */
/* cycle_counter.h: the cycle counter, where it has one rate on all cores; else the vDSO's monotonic clock, in ns.
 *
 * Context: hook; calibration is lifecycle and poller.
 */
#ifndef GP_CYCLE_COUNTER_H
#define GP_CYCLE_COUNTER_H

#include <time.h>
#include "shim/base/segment.h"

/* 32.32 fixed point; 0 until the first calibration. Written by the poller, read by all. */
extern GP_INTERNAL uint64_t g_ns_per_cycle;

#if defined(__x86_64__)
/* Immutable after the first calibration. */
extern GP_INTERNAL bool g_counter_invariant;
#endif

/* Reads both clocks: the beginning of the first base, over which the rate is found. MT-Unsafe | AS-Safe */
GP_INTERNAL void gp_cycles_begin (void);

/* Finds the counter's rate. The first call waits until the base is a millisecond long; later ones find the rate over an
 * ever longer base. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_cycles_calibrate (void);

/* What a later calibration does with a reading of both clocks. MT-Unsafe | AS-Safe */
GP_INTERNAL void gp_cycles_note (uint64_t cycles, uint64_t ns);

/* These three: MT-Safe | AS-Safe. */
static inline uint64_t
gp_cycles_read (void)
{
#if defined(__x86_64__)
  if (__builtin_expect (g_counter_invariant, 1))
    return __builtin_ia32_rdtsc ();
#elif defined(__aarch64__)
  uint64_t cycles;
  __asm__ volatile ("mrs %0, cntvct_el0" : "=r"(cycles));
  return cycles;
#endif
  return gp_clock_ns (CLOCK_MONOTONIC);
}

static inline uint64_t
gp_cycles_to_ns (uint64_t cycles)
{
  return (uint64_t) (((unsigned __int128) cycles * gp_load (&g_ns_per_cycle)) >> 32);
}

/* ns below 2^32. Requires: a calibration. */
static inline uint64_t
gp_cycles_from_ns (uint32_t ns)
{
  return ((uint64_t) ns << 32) / gp_load (&g_ns_per_cycle);
}

#endif
