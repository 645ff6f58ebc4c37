/* SPDX-License-Identifier: MIT */
/* stop.h: every way the host may end, and who waits for whom.
 *
 * In this order: last close of all accounts; g_active off; disarm; host_state STOPPING; the agent delivers. The host
 * waits for the close, which takes milliseconds; for the delivery only where the agent would die with it, or where it
 * is about to write a file that was asked for. ARCHITECTURE.md, Stop, has the picture.
 *
 * Context: lifecycle, on the host's threads, but for what is said to be the poller's.
 */
#ifndef GP_STOP_H
#define GP_STOP_H

#include "shim/base/segment.h"

/* Asks the poller for the last close and waits as said above; says so where that was not enough. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop (void);

/* The same where the agent in this process makes way for a Python of the host's: what was lost by that has been said.
 * MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop_to_make_way (void);

/* The tracer goes (gst_deinit): stops, unless it was set not to. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop_at_dispose (void);

/* Poller: whether gp_stop() asked for the end. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_stop_is_wanted (void);

/* No hook, no handler and no trampoline of ours does anything from here on. AS-Unsafe */
GP_INTERNAL void gp_stop_profiling (void);

/* Poller: the accounts are closed for the last time, and the agent knows. */
GP_INTERNAL void gp_stop_closed (void);

/* Poller: it has nothing more to do. */
GP_INTERNAL void gp_stop_over (void);

/* Poller: the agent is being started in this process, and would die with it: SIGINT and SIGTERM are caught, where
 * nobody else handles them. */
GP_INTERNAL void gp_stop_agent_embedded (void);

/* Poller: the agent in this process has come up. */
GP_INTERNAL void gp_stop_agent_runs (void);

#endif
