/* SPDX-License-Identifier: MIT */
/* own_thread.h: starts the shim's own threads in the host.
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_OWN_THREAD_H
#define GP_OWN_THREAD_H

#include "shim/base/segment.h"

/* Starts a thread of ours: labelled as the agent, all signals blocked but the sampling signal, 8 MiB of stack. Returns
 * an errno or 0. MT-Safe | AS-Unsafe heap */
GP_INTERNAL int gp_own_thread_start (void *(*function) (void *), void *argument, const char *name);

#endif
