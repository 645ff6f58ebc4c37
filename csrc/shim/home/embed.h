/* SPDX-License-Identifier: MIT */
/* embed.h: the agent on a thread of this process, with an interpreter of its own.
 *
 * Context: poller, except for functions marked "Lifecycle".
 */
#ifndef GP_EMBED_H
#define GP_EMBED_H

#include "shim/base/segment.h"

/* Starts the agent's thread. Where the program has a Python, the thread starts an agent's process instead. False: no
 * thread could be made; a line was printed and agent_state is REFUSED. */
GP_INTERNAL bool gp_embed (void);

/* A thread of the host is about to load a library. Where that is a libpython or needs one, an embedded agent makes way:
 * it delivers, and its interpreter is finalized before this returns (10 s at most). Nothing more is profiled then.
 * Lifecycle. MT-Safe | AS-Unsafe heap */
GP_INTERNAL void gp_embed_before_dlopen (const char *library);

#endif
