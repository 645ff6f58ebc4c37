/* SPDX-License-Identifier: MIT */
/* names_orc.h: names of the code that ORC makes at run time.
 *
 * Context: lifecycle, on the host's threads.
 */
#ifndef GP_NAMES_ORC_H
#define GP_NAMES_ORC_H

#include "shim/base/segment.h"

/* The replacement of orc_program_take_code(), and the real functions, both set by the redirect pass. Lifecycle, on the
 * host's threads. */
GP_INTERNAL void *gp_names_orc_take_code (void *program);
extern GP_INTERNAL void *(*g_names_real_orc_take_code) (void *program);
extern GP_INTERNAL const char *(*g_names_orc_get_name) (void *program);

#endif
