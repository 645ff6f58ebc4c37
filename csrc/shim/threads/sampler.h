/* SPDX-License-Identifier: MIT */
/* sampler.h: ticks. A CPU timer a thread; where the kernel allows it, a perf task-clock event besides, which does not
 * wait for the kernel's tick and takes over the user code, but for threads that never sleep.
 *
 * Context: lifecycle and poller, but for the handler itself (handler.c).
 */
#ifndef GP_SAMPLER_H
#define GP_SAMPLER_H

#include <signal.h>
#include "shim/threads/thread.h"

/* ns between two ticks of a thread. Immutable after gp_sampler_start(). */
extern GP_INTERNAL uint64_t g_interval_ns;

/* The kernel's tick is fine enough for a timer alone. Immutable after gp_sampler_start(). */
extern GP_INTERNAL bool g_events_may_rest;

/* Bit n: signal n bore our ticks once, so one that is pending may be a tick. */
extern GP_INTERNAL _Atomic uint64_t g_tick_signals;

/* The host handles every signal that would do, and nobody is armed: g_segment->signal is its own. */
extern GP_INTERNAL _Atomic bool g_yields;

/* Takes a signal whose default is to be ignored and that the host does not handle; in a host whose runtime takes all of
 * these, a real-time one that it leaves alone. Finds out which clock can be had. Without either, accounts go on alone
 * (GP_CLOCK_NONE). MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_sampler_start (uint32_t rate_hz);

/* One function handles every signal that can be ignored: a runtime's, Go's for one, which ends the process without exit
 * handlers as well. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_sampler_host_takes_all (void);

/* Gives the signal back where it still is ours. Requires: nobody is armed. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_sampler_stop (void);

/* Starts, or stops, the ticks of one thread, from wherever. Idempotent. Requires: the registry lock. AS-Unsafe */
GP_INTERNAL void gp_sampler_arm (struct gp_thread *thread);
GP_INTERNAL void gp_sampler_disarm (struct gp_thread *thread);

/* A thread whose event is gone, since the host closed all descriptors, gets another: as long as it was thought to have
 * one, its timer's ticks in user code would be left to that. Requires: the registry lock. AS-Unsafe */
GP_INTERNAL void gp_sampler_renew (struct gp_thread *thread);

/* A thread whose event rests, and which does not use a whole processor any more, gets it back: where it is paced by the
 * clock that paces the kernel's tick, no tick need ever meet it again, and its handler would not run to find out.
 * Requires: the registry lock. AS-Unsafe */
GP_INTERNAL void gp_sampler_wake (struct gp_thread *thread);

/* Whether threads can be armed. Requires: the registry lock. */
GP_INTERNAL void gp_sampler_set_quiet (bool quiet);

/* Poller: where a handler of the host's stands in the place of ours, the other signal is taken. Where that is the
 * host's too, nobody is armed, for it would get our ticks; window: counts that. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_sampler_check (bool window);

/* Between sampler.c and sampler_signal.c. Takes a signal, g_segment->signal; false: none is free. MT-Unsafe | AS-Unsafe
 */
GP_INTERNAL bool gp_signal_take (void);

/* A tick that meets no handler of ours does nothing: one that is pending while the handler goes, or at an exec. Not so
 * with a real-time signal, which ends the process. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_signal_is_harmless (int number);

/* Of a signal of ours: whose tick it is; NULL: nobody's, so the host's. AS-Safe */
GP_INTERNAL struct gp_thread *gp_tick_owner (const siginfo_t *info);

/* The signal handler. AS-Safe */
GP_INTERNAL void gp_handler (int number, siginfo_t *info, void *context);

/* Another signal's handler: whether a frame of the stack that it interrupted, on a thread of ours, lies in [start,
 * end). False where that cannot be told. context: its ucontext_t. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_handler_meets (const void *context, uintptr_t start, uintptr_t end);

#endif
