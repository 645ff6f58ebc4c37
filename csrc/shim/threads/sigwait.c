/* SPDX-License-Identifier: MIT */
/* sigwait.c: keeps ticks from the host's waits for signals. A thread that has all signals blocked and waits for any of
 * them, as many servers' main threads do, would get a tick that fell due while it worked, with the signal blocked.
 *
 * Hazard: the host cannot use this signal itself. To the kernel two pending signals of one number are one: a signal
 * that the host sends to such a thread while a tick is pending is discarded with the tick. One that it sends to the
 * process is delivered to any thread on which we have unblocked it.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/threads/sigwait.h"

#include <errno.h>
#include "shim/signal/handler.h"
#include "shim/threads/tick_signal.h"

int (*g_real_sigwait) (const sigset_t *, int *);
int (*g_real_sigwaitinfo) (const sigset_t *, siginfo_t *);
int (*g_real_sigtimedwait) (const sigset_t *, siginfo_t *, const struct timespec *);

static bool
may_be_tick (int number)
{
  return number > 0 && number < 64 && (atomic_load_explicit (&g_tick_signals, memory_order_relaxed) >> number & 1) != 0;
}

static bool
includes_ticks (const sigset_t *set)
{
  for (int number = 1; number < 64; number++)
    if (may_be_tick (number) && sigismember (set, number) == 1)
      return true;
  return false;
}

static bool
is_tick (int number, const siginfo_t *info)
{
  if (!may_be_tick (number) || gp_tick_owner (info) == NULL)
    return false;
  if (atomic_load_explicit (&g_active, memory_order_relaxed))
    gp_count (GP_COUNTER_DROPPED_WAITED);
  return true;
}

int
gp_sigwait (const sigset_t *set, int *number)
{
  if (!includes_ticks (set))
    return g_real_sigwait (set, number);
  siginfo_t info;
  int got;
  do
    got = g_real_sigwaitinfo (set, &info);
  while (got < 0 ? errno == EINTR : is_tick (got, &info)); /* sigwait() never fails with EINTR */
  if (got < 0)
    return errno;
  *number = got;
  return 0;
}

int
gp_sigwaitinfo (const sigset_t *set, siginfo_t *info)
{
  siginfo_t unasked;
  siginfo_t *at = info != NULL ? info : &unasked;
  int got;
  do
    got = g_real_sigwaitinfo (set, at);
  while (is_tick (got, at));
  return got;
}

static struct timespec
take_off (struct timespec from, uint64_t ns)
{
  from.tv_sec -= (time_t) (ns / 1000000000);
  from.tv_nsec -= (long) (ns % 1000000000);
  if (from.tv_nsec < 0) {
    from.tv_sec--;
    from.tv_nsec += 1000000000;
  }
  return from.tv_sec < 0 ? (struct timespec) { 0 } : from;
}

int
gp_sigtimedwait (const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
  if (timeout == NULL)
    return gp_sigwaitinfo (set, info);
  siginfo_t unasked;
  siginfo_t *at = info != NULL ? info : &unasked;
  uint64_t start_ns = gp_clock_ns (CLOCK_MONOTONIC);
  int got = g_real_sigtimedwait (set, at, timeout);
  while (is_tick (got, at)) {
    struct timespec left = take_off (*timeout, gp_clock_ns (CLOCK_MONOTONIC) - start_ns);
    got = g_real_sigtimedwait (set, at, &left);
  }
  return got;
}
