/* SPDX-License-Identifier: MIT */
/* tick_signal.c: takes a signal for the ticks, checks that it is still ours, releases it.
 *
 * Context: lifecycle and poller.
 */
#define _GNU_SOURCE
#include "shim/threads/tick_signal.h"

#include <signal.h>
#include <string.h>
#include "shim/signal/handler.h"

_Atomic uint64_t g_tick_signals;
_Atomic bool g_yields;
static struct sigaction g_previous_action; /* SIG_DFL or SIG_IGN */

static bool
is_free (const struct sigaction *action)
{
  return action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN;
}

/* No handler of the host's may interrupt ours: it might not return (siglongjmp, asynchronous cancellation), and would
 * use up the alternate stack. All bits, since sigfillset() leaves out the signals that glibc reserves. Faults are not
 * blocked: one in our handler is treated as anywhere else. */
static void
block_others (sigset_t *mask)
{
  static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
  memset (mask, 0xff, sizeof *mask);
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
    sigdelset (mask, faults[i]);
}

static bool
take_signal (int number)
{
  struct sigaction ours, previous;
  memset (&ours, 0, sizeof ours);
  ours.sa_sigaction = gp_handler;
  ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  block_others (&ours.sa_mask);
  if (sigaction (number, NULL, &previous) != 0 || !is_free (&previous) || sigaction (number, &ours, &previous) != 0)
    return false;
  if (!is_free (&previous)) {
    sigaction (number, &previous, NULL); /* the host has set one since the first call */
    return false;
  }
  g_previous_action = previous;
  atomic_fetch_or (&g_tick_signals, UINT64_C (1) << number);
  return true;
}

bool
gp_signal_host_takes_all (void)
{
  static const int asked[] = { SIGURG, SIGWINCH, SIGCHLD, SIGIO };
  struct sigaction first, other;
  if (sigaction (asked[0], NULL, &first) != 0 || is_free (&first))
    return false;
  for (size_t i = 1; i < sizeof asked / sizeof asked[0]; i++)
    if (sigaction (asked[i], NULL, &other) != 0 || other.sa_sigaction != first.sa_sigaction)
      return false;
  return true;
}

bool
gp_signal_is_harmless (int number)
{
  return number == SIGURG || number == SIGWINCH;
}

bool
gp_signal_take (void)
{
  /* The last is for a runtime that handles all signals but those it leaves to the C library, of which this is one:
   * nobody in such a process waits for it. In other hosts somebody may, without a handler. */
  const int candidates[] = { SIGURG, SIGWINCH, SIGRTMIN };
  for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++)
    if ((gp_signal_is_harmless (candidates[i]) || gp_signal_host_takes_all ()) && take_signal (candidates[i])) {
      gp_store (&g_segment->signal, (uint32_t) candidates[i]);
      return true;
    }
  return false;
}

static bool
has_our_handler (struct sigaction *now)
{
  return sigaction ((int) g_segment->signal, NULL, now) == 0 && now->sa_sigaction == gp_handler;
}

void
gp_signal_release (void)
{
  struct sigaction now, ignored;
  int number = (int) g_segment->signal;
  if (number == 0 || !has_our_handler (&now))
    return;
  /* A tick may still be pending on some thread. To ignore the signal discards it on all of them. */
  memset (&ignored, 0, sizeof ignored);
  ignored.sa_handler = SIG_IGN;
  sigaction (number, &ignored, NULL);
  sigaction (number, &g_previous_action, NULL);
}

bool
gp_signal_is_ours (bool *is_hosts)
{
  struct sigaction now;
  bool ours = has_our_handler (&now);
  *is_hosts = !ours && !is_free (&now);
  return ours;
}

bool
gp_signal_take_again (void)
{
  return take_signal ((int) g_segment->signal);
}
