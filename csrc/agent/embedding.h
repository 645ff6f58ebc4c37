/* SPDX-License-Identifier: MIT */
/* embedding.h: the function that the embedded agent's Python defines. Read by cffi: plain declarations only.
 *
 * Context: agent.
 */

/* Runs the agent on the segment of this descriptor, in Python (embedding_init.py). 0: it raised. */
int gp_agent_run (int fd);
