/* SPDX-License-Identifier: MIT */
/* stop.h: every way the host may end, and who waits for whom.
 *
 *   host thread that ends            poller                                agent
 *   gp_stop() ── poll ─────────────> publishes all accounts, g_active off,
 *     wait 1, for the accounts:      disarms, host_state STOPPING ─ wake ─> last window, delivery
 *     STOP_MS; LOADER_MS while the     │                                      │
 *     poller waits for the loader    gp_stop_published()                      │ agent_state DONE
 *     wait 2, for the delivery:        │ waits for DONE, or for the           │
 *     see below                      gp_stop_done() <─ process's end ─────────┘
 *
 * Wait 2 depends on the agent's home. All limits count from the first call of gp_stop():
 *
 *   controller                     0
 *   process                        0; where a file is written, a tenth of the host's life, STOP_MS at most
 *   embedded; process of pid 1     STOP_MS; STOP_FILE_MS where a file is written
 *   embedded, and the host's       DELIVER_WITHOUT_LOADER_MS
 *     thread is inside the loader
 *
 * ARCHITECTURE.md, Lifecycle, says which ends of the host come here.
 *
 * Context: lifecycle, on the host's threads, except for functions marked "Poller".
 */
#ifndef GP_STOP_H
#define GP_STOP_H

#include "shim/base/segment.h"

/* Asks the poller for the last publication and waits as above. Prints one line where the wait ran out and a profile is
 * lost. Does nothing in the child of a fork. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop (void);

/* The same where the embedded agent makes way for a Python of the host's. Prints nothing about a lost profile: the
 * caller has printed a line already. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop_to_make_way (void);

/* The tracer is disposed of (gst_deinit): stops, unless the setting stop_on_dispose is off. Closes our use of
 * GStreamer's log. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_stop_at_dispose (void);

/* Poller: whether gp_stop() was called. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_stop_is_wanted (void);

/* Clears g_active, disarms all threads, releases the signal: hooks, handler and trampoline do nothing from here on.
 * AS-Unsafe */
GP_INTERNAL void gp_stop_profiling (void);

/* Poller: all accounts are published for the last time, and the agent has been woken. Ends wait 1. */
GP_INTERNAL void gp_stop_published (void);

/* Poller: the agent has delivered, or has ended. Ends wait 2. */
GP_INTERNAL void gp_stop_done (void);

/* Poller: the agent is being started in this process, and will die with it. Catches SIGINT and SIGTERM where the host
 * leaves them at their default. */
GP_INTERNAL void gp_stop_agent_embedded (void);

/* Poller: the agent is up. Where it is embedded, registers gp_stop() as an exit handler once more: exit handlers run in
 * reverse order, and ours must run before those of OpenSSL, which the agent has loaded by now. */
GP_INTERNAL void gp_stop_agent_runs (void);

#endif
