/* SPDX-License-Identifier: MIT */
/* libpython.h: whether the host has a Python, or may load one.
 *
 * Two interpreters in one process break each other, and a host that finds Python initialized takes ours for its own.
 *
 * Context: poller, except for functions marked "Lifecycle" or "Agent".
 */
#ifndef GP_LIBPYTHON_H
#define GP_LIBPYTHON_H

#include "shim/base/segment.h"

/* Whether a libpython is loaded, or the executable holds one. Waits for the loader. Agent. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_libpython_is_loaded (void);

/* Whether a libpython is loaded, or a plugin of the registry needs one, itself or by what it needs.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_libpython_may_come (void);

/* Whether a library that is about to be loaded is a libpython, or needs one. Lifecycle. MT-Safe | AS-Unsafe heap */
GP_INTERNAL bool gp_libpython_comes_with (const char *library);

#endif
