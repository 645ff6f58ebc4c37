/* SPDX-License-Identifier: MIT */
/* modules.h: keeps the list of the host's loaded ELF objects: in the segment for the agent, and as a snapshot for the
 * handler's lookups (signal/module_lookup.h).
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_MODULES_H
#define GP_MODULES_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* Updates the segment's list: appends modules that were loaded, marks those that were unloaded, and raises the
 * generation if there were any. Cheap if there were none. MT-Safe lock | AS-Unsafe lock heap. Lifecycle: the poller,
 * and after each redirected dlopen and dlclose. */
GP_INTERNAL void gp_modules_refresh (void);

/* The module in whose code an address is, as of the last refresh; NULL: none. Takes no lock, unlike dladdr, which takes
 * the loader's. MT-Safe */
GP_INTERNAL const struct gp_module *gp_modules_listed (uintptr_t address);

/* Put around a redirected dlclose: between them handlers neither scan nor read CFI. begin waits for handlers that are
 * reading: less than 1 ms, or as long as their threads have no processor, a second at most; 2 ms where an earlier wait
 * ran out. end updates the list before handlers may read again, so that no rule of the unloaded module is used for the
 * next one at its place. One thread does not nest them; many threads may use them at once. MT-Safe | AS-Unsafe lock */
GP_INTERNAL void gp_modules_close_begin (void);
GP_INTERNAL void gp_modules_close_end (void);

#endif
