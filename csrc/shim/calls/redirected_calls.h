/* SPDX-License-Identifier: MIT */
/* redirected_calls.h: the calls of the host that are redirected to functions of ours.
 *
 * Context: lifecycle.
 */
#ifndef GP_REDIRECTED_CALLS_H
#define GP_REDIRECTED_CALLS_H

#include "shim/base/segment.h"

/* Hands the table to redirect/. No call is redirected before the first gp_redirect_pass(). Once.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_redirected_calls_init (void);

#endif
