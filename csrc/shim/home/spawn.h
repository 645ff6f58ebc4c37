/* SPDX-License-Identifier: MIT */
/* spawn.h: gives the agent its home, where no controller is the agent.
 *
 * process: beside this one. An agent that an earlier host has started takes more of them, and lingers for the next;
 * else one is started. embedded: on a thread of an interpreter of our own, in this process; where it was asked for, or
 * where no process can be had, and never where a Python of the host's may come.
 *
 * Context: poller, but for what is said to be lifecycle.
 */
#ifndef GP_SPAWN_H
#define GP_SPAWN_H

#include "shim/base/segment.h"

/* Keeps the segment's descriptor, reads what the environment says about the agent, and hands the segment to an agent
 * that is there. What runs beside the host later must not look at variables that it may be setting. Lifecycle.
 * MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_spawn_prepare (int memory_fd);

/* Starts the agent where none has taken the segment; a failure is said and leaves agent_state REFUSED. */
GP_INTERNAL void gp_spawn_agent (void);

/* False once an agent's process has ended. */
GP_INTERNAL bool gp_spawn_agent_lives (void);

/* It has ended before it ran: embeds one, where that may be. False: it may not. */
GP_INTERNAL bool gp_spawn_elsewhere (void);

/* Starts a process, for an agent that cannot be embedded. 0, or why not: an errno. Agent too. */
GP_INTERNAL int gp_spawn_process (void);

/* There is no agent: says so, and leaves agent_state REFUSED. Agent too. */
GP_INTERNAL void gp_spawn_refuse (const char *why, const char *what);

#endif
