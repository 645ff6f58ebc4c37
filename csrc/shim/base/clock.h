/* SPDX-License-Identifier: MIT */
/* clock.h: the kernel's time, even where a preload has replaced libc's clocks.
 *
 * Context: every one.
 */
#ifndef GP_CLOCK_H
#define GP_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Finds the vDSO's function, and whether libc's clocks are the kernel's. Before this call each reading is a system
 * call. MT-Unsafe | AS-Unsafe lock */
void gp_clock_init (void) __attribute__ ((visibility ("hidden")));

/* ns of the clock; 0 where it fails. MT-Safe | AS-Safe */
uint64_t gp_clock_ns (int clock) __attribute__ ((visibility ("hidden")));

/* Whether the host's libc has another time than the kernel (libfaketime). Code in this process that waits by that time,
 * an interpreter of ours too, may wait for ever. Requires: gp_clock_init(). MT-Safe | AS-Safe */
bool gp_clock_is_faked (void) __attribute__ ((visibility ("hidden")));

#endif
