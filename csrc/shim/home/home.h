/* SPDX-License-Identifier: MIT */
/* home.h: where the agent runs, where `run` is not the agent.
 *
 *   process    beside the host. An agent that an earlier host has started serves further hosts, and lingers for the
 *              next; else one is started.
 *   embedded   on a thread of the host, in an interpreter of our own. Only where the user asks for it, where a process
 *              would become the host's child (pid 1, subreapers), or where no process can be started; in the last two
 *              cases not where the host has, or may load, a Python of its own.
 *
 * Context: poller, except for functions marked "Lifecycle".
 */
#ifndef GP_HOME_H
#define GP_HOME_H

#include "shim/base/segment.h"

/* Keeps the segment's descriptor, reads the settings of the agent, and hands the segment to an agent that runs already.
 * Reads the environment now: the poller must not, since the host may be changing it. Lifecycle, once.
 * MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_home_prepare (int memory_fd);

/* Starts the agent where none has taken the segment. On failure prints a line and sets agent_state to REFUSED. */
GP_INTERNAL void gp_home_start_agent (void);

/* The agent's process could not be started, or has ended before it ran: embeds an agent. False: that is not allowed. */
GP_INTERNAL bool gp_home_start_elsewhere (void);

#endif
