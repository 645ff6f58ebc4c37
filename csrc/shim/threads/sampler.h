/* SPDX-License-Identifier: MIT */
/* sampler.h: ticks. A CPU timer a thread; where the kernel allows it, a perf task-clock event besides, which does not
 * wait for the kernel's tick and takes over the user code, but for threads that never sleep.
 *
 * Context: lifecycle and poller. What a tick does: signal/handler.c. Which signal bears it: tick_signal.h.
 */
#ifndef GP_SAMPLER_H
#define GP_SAMPLER_H

#include "shim/base/thread_state.h"

/* Takes a signal whose default is to be ignored and that the host does not handle; in a host whose runtime takes all of
 * these, a real-time one that it leaves alone. Finds out which clock can be had. Without either, accounts go on alone
 * (GP_CLOCK_NONE). MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_sampler_start (uint32_t rate_hz);

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

#endif
