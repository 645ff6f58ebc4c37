/* SPDX-License-Identifier: MIT */
/* needed.h: the libraries that an ELF file needs (DT_NEEDED).
 *
 * Context: poller, and lifecycle on the host's threads.
 */
#ifndef GP_NEEDED_H
#define GP_NEEDED_H

#include "shim/base/segment.h"

/* Calls is_it() for each name in the file's DT_NEEDED until it returns true. Returns whether it did; false where the
 * file cannot be read. The file is read, not mapped: one that is truncated meanwhile does not end the host by SIGBUS.
 * MT-Safe | AS-Unsafe heap */
GP_INTERNAL bool gp_needed_any (const char *path, bool (*is_it) (const char *name, void *data), void *data);

#endif
