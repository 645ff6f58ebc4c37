/* SPDX-License-Identifier: MIT */
/* handler.h: the signal handler that takes samples, and what others may ask of it.
 *
 * Context: signal, but for the two settings, which lifecycle code makes before the first thread is armed.
 */
#ifndef GP_HANDLER_H
#define GP_HANDLER_H

#include <signal.h>
#include "shim/base/thread_state.h"

/* ns between two ticks of a thread. Immutable after gp_sampler_start(). */
extern GP_INTERNAL uint64_t g_interval_ns;

/* The kernel's tick is fine enough for a timer alone. Immutable after gp_sampler_start(). */
extern GP_INTERNAL bool g_events_may_rest;

/* Of a signal of ours: whose tick it is; NULL: nobody's, so the host's. AS-Safe */
GP_INTERNAL struct gp_thread *gp_tick_owner (const siginfo_t *info);

/* The signal handler. AS-Safe */
GP_INTERNAL void gp_handler (int number, siginfo_t *info, void *context);

/* Another signal's handler: whether a frame of the stack that it interrupted, on a thread of ours, lies in [start,
 * end). False where that cannot be told. context: its ucontext_t. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_handler_meets (const void *context, uintptr_t start, uintptr_t end);

#endif
