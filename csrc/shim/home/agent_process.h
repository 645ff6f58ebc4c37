/* SPDX-License-Identifier: MIT */
/* agent_process.h: the agent as a process beside the host.
 *
 * Context: poller, except for functions marked "Lifecycle" or "Agent too" (the embedded agent's thread).
 */
#ifndef GP_AGENT_PROCESS_H
#define GP_AGENT_PROCESS_H

#include "shim/base/segment.h"
#include "shim/home/handover.h"

/* Name of the socket at which the agent accepts further hosts (handover.h); filled by gp_home_prepare(). */
extern GP_INTERNAL char g_agent_name[GP_HANDOVER_NAME];

/* The segment's descriptor, for an agent in any home. gp_agent_process_prepare() keeps it. */
extern GP_INTERNAL int g_memory_fd;

/* Keeps the segment's descriptor and a copy of the environment. Lifecycle, once. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_agent_process_prepare (int memory_fd);

/* Whether the agent's Python is an executable file. Requires: gp_agent_python_find() has run. */
GP_INTERNAL bool gp_agent_process_can_run (void);

/* False once the agent's process has ended; true also where the agent has none. */
GP_INTERNAL bool gp_agent_process_lives (void);

/* Starts the agent's process, which becomes a Python half a second after the tracer's start. Returns an errno or 0.
 * Agent too. */
GP_INTERNAL int gp_agent_process_start (void);

/* What the user can do. */
#define GP_AGENT_HINT_PYTHON "`python -m gst_pyro_shim path`, with a Python that has the package, records which to use"
#define GP_AGENT_HINT_LIMITS "Raise the limits of processes and memory (ulimit -u, or the container's)"

/* No agent can be had: prints why, what it is about, and a hint; sets agent_state to REFUSED; wakes the poller. Agent
 * too. */
GP_INTERNAL void gp_agent_refuse (const char *why, const char *what, const char *hint);

#endif
