/* SPDX-License-Identifier: MIT */
/* redirected_calls.h: the host's calls that come to us instead.
 *
 * Context: lifecycle.
 */
#ifndef GP_REDIRECTED_CALLS_H
#define GP_REDIRECTED_CALLS_H

#include "shim/base/segment.h"

/* Redirects the calls that we must see, in every module that is loaded or will be. Call gp_redirect_pass() after it.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_redirected_calls_init (void);

#endif
