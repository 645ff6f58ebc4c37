/* SPDX-License-Identifier: MIT */
/* trampoline.h: work handed to other threads belongs to whoever handed it over.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements).
 */
#ifndef GP_TRAMPOLINE_H
#define GP_TRAMPOLINE_H

#include <pthread.h>
#include "shim/base/segment.h"

/* Redirects the calls that we must see, in every module that is loaded or will be. Call gp_redirect_pass()
 * after it. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_workers_init (void);

/* Starts a thread of ours: labelled as the agent, all signals blocked but the sampling signal, 8 MiB of stack. Returns
 * an errno or 0. MT-Safe | AS-Unsafe heap */
GP_INTERNAL int gp_workers_start_own (void *(*function) (void *), void *argument, const char *name);

#endif
