/* SPDX-License-Identifier: MIT */
/* tick_signal.h: the signal that bears the ticks.
 *
 * Context: lifecycle and poller, but for what is said to be AS-Safe.
 */
#ifndef GP_TICK_SIGNAL_H
#define GP_TICK_SIGNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* Bit n: signal n bore our ticks once, so one that is pending may be a tick. */
extern GP_INTERNAL _Atomic uint64_t g_tick_signals;

/* The host handles every signal that would do, and nobody is armed: g_segment->signal is its own. */
extern GP_INTERNAL _Atomic bool g_yields;

/* Takes a signal whose default is to be ignored and that the host does not handle, g_segment->signal; in a host whose
 * runtime takes all of these, a real-time one that it leaves alone. False: none is free. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_take (void);

/* A tick that meets no handler of ours does nothing: one that is pending while the handler goes, or at an exec. Not so
 * with a real-time signal, which ends the process. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_signal_is_harmless (int number);

/* Whether our handler has the signal still. Where not: *is_hosts says whether a handler of the host's has it.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_is_ours (bool *is_hosts);

/* Takes the same signal once more, where nobody has it; false: somebody has. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_signal_take_again (void);

/* One function handles every signal that can be ignored: a runtime's, Go's for one, which ends the process without exit
 * handlers as well. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_signal_host_takes_all (void);

/* Gives the signal back where it still is ours. Requires: nobody is armed. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_signal_give_back (void);

#endif
