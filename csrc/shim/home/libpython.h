/* SPDX-License-Identifier: MIT */
/* libpython.h: whether the host has a Python, or may come to have one.
 *
 * Two interpreters in one process break each other, and one that the host finds initialized is not its own.
 *
 * Context: poller, but for what is said to be lifecycle.
 */
#ifndef GP_LIBPYTHON_H
#define GP_LIBPYTHON_H

#include "shim/base/segment.h"

/* Whether one is in the process. Waits for the loader. Agent. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_libpython_is_loaded (void);

/* Whether one is loaded, or a plugin of the registry needs one, directly or by others. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_libpython_may_come (void);

/* Whether a library that is about to be loaded is one, or needs one. Lifecycle. MT-Safe | AS-Unsafe heap */
GP_INTERNAL bool gp_libpython_comes_with (const char *library);

#endif
