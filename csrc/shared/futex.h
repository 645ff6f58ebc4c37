/* SPDX-License-Identifier: MIT */
/* futex.h: waits for words of the shared memory, and wakes the threads that wait.
 *
 * Not FUTEX_PRIVATE: the other side may be a process of its own.
 *
 * Context: every one. MT-Safe | AS-Safe
 */
#ifndef GP_FUTEX_H
#define GP_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "shared/raw_syscall.h"

/* Wakes all that wait for a word, which the caller has changed. */
static inline void
gp_futex_wake (uint32_t *word)
{
  gp_syscall (SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Raises the word by one, and wakes all that wait for it. What was written before is visible to them. */
static inline void
gp_futex_signal (uint32_t *word)
{
  __atomic_fetch_add (word, 1, __ATOMIC_RELEASE);
  gp_futex_wake (word);
}

/* Waits until *word differs from seen, a signal comes, or the time is over. */
static inline void
gp_futex_wait (const uint32_t *word, uint32_t seen, unsigned timeout_ms)
{
  struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
  gp_syscall (SYS_futex, word, FUTEX_WAIT, seen, &timeout, NULL, 0);
}

#endif
