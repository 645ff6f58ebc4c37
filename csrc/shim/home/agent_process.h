/* SPDX-License-Identifier: MIT */
/* agent_process.h: the agent as a process beside the host.
 *
 * Context: poller, but for what is said to be lifecycle or agent.
 */
#ifndef GP_AGENT_PROCESS_H
#define GP_AGENT_PROCESS_H

#include "shim/base/segment.h"
#include "shim/home/handover.h"

/* Where the agent takes further hosts in; gp_home_prepare() fills it. */
extern GP_INTERNAL char g_agent_name[GP_HANDOVER_NAME];

/* Keeps the segment's descriptor and a copy of the environment. Lifecycle. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_agent_process_prepare (int memory_fd);

/* Whether the agent's Python can be run. */
GP_INTERNAL bool gp_agent_process_can_run (void);

/* False once an agent's process has ended. */
GP_INTERNAL bool gp_agent_process_lives (void);

/* Starts a process, for an agent that cannot be embedded. 0, or why not: an errno. Agent too. */
GP_INTERNAL int gp_agent_process_start (void);

/* There is no agent: says so, and leaves agent_state REFUSED. Agent too. */
GP_INTERNAL void gp_agent_refuse (const char *why, const char *what);

#endif
