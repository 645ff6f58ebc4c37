/* SPDX-License-Identifier: MIT */
/* home.h: gives the agent its home, where no controller is the agent.
 *
 * process: beside this one. An agent that an earlier host has started takes more of them, and lingers for the next;
 * else one is started. embedded: on a thread of an interpreter of our own, in this process; where it was asked for, or
 * where no process can be had, and never where a Python of the host's may come.
 *
 * Context: poller, but for what is said to be lifecycle.
 */
#ifndef GP_HOME_H
#define GP_HOME_H

#include "shim/base/segment.h"

/* Keeps the segment's descriptor, reads what the environment says about the agent, and hands the segment to an agent
 * that is there. What runs beside the host later must not look at variables that it may be setting. Lifecycle.
 * MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_home_prepare (int memory_fd);

/* Starts the agent where none has taken the segment; a failure is said and leaves agent_state REFUSED. */
GP_INTERNAL void gp_home_start_agent (void);

/* It has ended before it ran: embeds one, where that may be. False: it may not. */
GP_INTERNAL bool gp_home_start_elsewhere (void);

#endif
