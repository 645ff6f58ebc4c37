/* SPDX-License-Identifier: MIT */
/* embedding.h: what cffi generates for the embedded agent. Read by cffi: plain declarations only.
 *
 * Context: agent.
 */

/* agent.run(fd), in Python; 0 where it raised. */
int gp_agent_run (int fd);
