/* SPDX-License-Identifier: MIT */
/* tick_signal.h: the signal of the ticks.
 *
 * Context: lifecycle and poller, but for what is said to be AS-Safe.
 */
#ifndef GP_TICK_SIGNAL_H
#define GP_TICK_SIGNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* Bit n: signal n is or was the signal of our ticks, so one that is pending may be a tick. */
extern GP_INTERNAL _Atomic uint64_t g_tick_signals;

/* The host handles every signal that we could take, g_segment->signal among them, and nobody is armed. */
extern GP_INTERNAL _Atomic bool g_yields;

/* Sets our handler for a signal that is ignored by default and that the host does not handle: g_segment->signal. In a
 * host whose runtime handles all of these: for a real-time signal that the runtime leaves alone. False: none is free.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_take (void);

/* Whether a tick is ignored where our handler is not set: one that is pending while the handler is removed, or at an
 * exec. A real-time signal would end the process instead. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_signal_is_harmless (int number);

/* Whether the signal still has our handler. *is_hosts: it has a handler of the host's instead.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_is_ours (bool *is_hosts);

/* Sets our handler for the same signal again, where it has none; false: it has one. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_take_again (void);

/* Whether one function handles every signal that is ignored by default. That is a runtime like Go's, which also ends
 * the process without exit handlers. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_signal_host_takes_all (void);

/* Restores the signal's previous action, where it still has our handler. Requires: nobody is armed. MT-Unsafe |
 * AS-Unsafe */
GP_INTERNAL void gp_signal_release (void);

#endif
