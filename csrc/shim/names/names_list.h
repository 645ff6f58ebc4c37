/* SPDX-License-Identifier: MIT */
/* names_list.h: the segment's list of names that no file holds.
 *
 * Context: poller and lifecycle.
 */
#ifndef GP_NAMES_LIST_H
#define GP_NAMES_LIST_H

#include "shim/base/segment.h"

/* Adds a name for the function that begins at start (bytes: 0), or for a range of code that is in no file. Lifecycle.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_names_add (uintptr_t start, uint32_t bytes, const char *text);

#endif
