/* SPDX-License-Identifier: MIT */
/* lifecycle.h: the tracer comes up, and every way the host may end.
 *
 * Start, in this order: segment, labels, accounts, signal, this thread; g_active; hooks; import slots; the other
 * threads; poller, which starts the agent. Stop, in this order: last close of all accounts; g_active off; disarm; the
 * agent flushes; at most a second in all, or five where the profile stays on the machine and the agent in the host.
 *
 * Context: lifecycle, on the host's threads.
 */
#ifndef GP_LIFECYCLE_H
#define GP_LIFECYCLE_H

#include <gst/gst.h>
#include "segment.h"

/* The tracer was made. On failure one line is said and everything stays inert. */
GP_INTERNAL void gp_lifecycle_start (GstTracer *tracer, const char *params);

/* Whether that was called. */
GP_INTERNAL bool gp_lifecycle_started (void);

/* The tracer goes (gst_deinit): stops, unless it was set not to. */
GP_INTERNAL void gp_lifecycle_dispose (void);

/* Asks the poller for the last close and waits until the agent has delivered, all calls together for as long as said
 * above; says so where that was not enough.
 * MT-Safe | AS-Safe */
GP_INTERNAL void gp_lifecycle_stop (void);

/* Poller: the agent is being started in this process, and would die with it: SIGINT and SIGTERM are caught, where
 * nobody else handles them. */
GP_INTERNAL void gp_lifecycle_agent_embedded (void);

/* Poller: the agent has come up. */
GP_INTERNAL void gp_lifecycle_agent_runs (void);

/* Poller: it has nothing more to do. Wakes whoever waits in gp_lifecycle_stop(). */
GP_INTERNAL void gp_lifecycle_over (void);

/* Poller: whether gp_lifecycle_stop() asked for the end. */
GP_INTERNAL bool gp_lifecycle_is_ending (void);

/* Poller: no hook, no handler and no trampoline of ours does anything from here on. AS-Unsafe */
GP_INTERNAL void gp_lifecycle_retire (void);

#endif
