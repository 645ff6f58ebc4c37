/* SPDX-License-Identifier: MIT */
/* handler.h: the signal handler that takes samples.
 *
 * Context: signal. Lifecycle code writes the two settings before the first thread is armed.
 */
#ifndef GP_HANDLER_H
#define GP_HANDLER_H

#include <signal.h>
#include "shim/base/thread_state.h"

/* ns between two ticks of a thread. Immutable after gp_sampler_start(). */
extern GP_INTERNAL uint64_t g_interval_ns;

/* The kernel's tick is fine enough for a timer alone. Immutable after gp_sampler_start(). */
extern GP_INTERNAL bool g_events_may_rest;

/* The thread whose tick this signal is; NULL: it is no tick of ours, but the host's signal. AS-Safe */
GP_INTERNAL struct gp_thread *gp_tick_owner (const siginfo_t *info);

/* The signal handler. AS-Safe */
GP_INTERNAL void gp_handler (int number, siginfo_t *info, void *context);

/* For another signal's handler: whether a frame of the stack that it interrupted lies in [start, end). context: that
 * handler's ucontext_t. False where that is not known, as on a thread that is not registered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_handler_interrupted_in (const void *context, uintptr_t start, uintptr_t end);

#endif
