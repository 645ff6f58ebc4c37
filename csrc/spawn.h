/* SPDX-License-Identifier: MIT */
/* spawn.h: gives the agent its home.
 *
 * embedded: on a thread of an interpreter of our own, in this process. process: beside it, where the host brings a
 * Python, may come to load one, or embedding fails.
 *
 * Context: poller.
 */
#ifndef GP_SPAWN_H
#define GP_SPAWN_H

#include "segment.h"

/* Reads what the environment says about the agent. On the host's thread that makes the tracer, before all else here:
 * what runs beside the host must not look at variables that it may be setting. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_spawn_read_environment (void);

/* Chooses a home and starts the agent there; a failure is said and leaves agent_state REFUSED. */
GP_INTERNAL void gp_spawn_agent (int memory_fd);

/* False once an agent's process has ended. */
GP_INTERNAL bool gp_spawn_agent_lives (void);

#endif
