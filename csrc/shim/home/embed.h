/* SPDX-License-Identifier: MIT */
/* embed.h: the agent on a thread of this process, with an interpreter of its own.
 *
 * Context: poller, but for what is said to be lifecycle.
 */
#ifndef GP_EMBED_H
#define GP_EMBED_H

#include "shim/base/segment.h"

/* Starts it. Where the program has a Python, the agent gets a process instead. False: there is no thread for it, which
 * was said. */
GP_INTERNAL bool gp_embed (int memory_fd);

/* A thread of the host's is about to load a library. Where a Python comes with it, an interpreter of ours makes way: it
 * delivers, and is gone when this returns; nothing more is profiled then. Lifecycle. MT-Safe | AS-Unsafe heap */
GP_INTERNAL void gp_embed_before_dlopen (const char *library);

#endif
