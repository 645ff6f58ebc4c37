/* SPDX-License-Identifier: MIT */
/* poller.h: the one thread of the shim's own.
 *
 * Ten times a second it looks for threads made behind our back, modules loaded without our wrapper, and whether the
 * handler still stands; it closes the accounts, at the agent's request and on its own (what a host that dies by SIGKILL
 * loses is then a tenth of a second); it passes the agent's lines on to GStreamer's log.
 *
 * Context: poller, a thread that runs none of the host's code.
 */
#ifndef GP_POLLER_H
#define GP_POLLER_H

#include "shim/base/segment.h"

/* Starts the poller, which starts the agent where no controller is. Returns an errno or 0. */
GP_INTERNAL int gp_poller_start (void);

#endif
