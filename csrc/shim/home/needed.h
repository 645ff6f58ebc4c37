/* SPDX-License-Identifier: MIT */
/* needed.h: what an ELF file says that it needs.
 *
 * Context: poller.
 */
#ifndef GP_NEEDED_H
#define GP_NEEDED_H

#include "shim/base/segment.h"

/* Calls met() for each name in the file's DT_NEEDED until it returns true. Returns whether it did; false where the file
 * cannot be read. Reads, and maps nothing: a file that is being replaced does no harm. MT-Safe | AS-Unsafe heap */
GP_INTERNAL bool gp_needed_any (const char *path, bool (*met) (const char *name, void *data), void *data);

#endif
