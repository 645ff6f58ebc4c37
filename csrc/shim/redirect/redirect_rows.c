/* SPDX-License-Identifier: MIT */
/* redirect_rows.c: the rows of calls that are redirected, and the flags for passes.
 *
 * Context: data of lifecycle and poller.
 */
#include "shim/redirect/redirect_rows.h"

struct gp_redirect g_redirect_rows[GP_REDIRECTS_MAX];
size_t g_redirect_row_count;
_Atomic bool g_redirect_pending;
_Atomic bool g_redirect_deepbind;
