/* SPDX-License-Identifier: MIT */
/* modules.h: the host's loaded ELF objects: the segment's list for the agent, and the snapshot that the handler looks
 * addresses up in (signal/module_lookup.h).
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_MODULES_H
#define GP_MODULES_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* Brings the segment's list up to date: appends what came, marks what went, raises the generation if either happened.
 * Cheap where nothing did. MT-Safe lock | AS-Unsafe lock heap. Lifecycle: the poller, and after each redirected dlopen
 * and dlclose. */
GP_INTERNAL void gp_modules_refresh (void);

/* The module in whose code an address is, as of the last refresh; NULL: none. Waits for nobody, unlike dladdr, which
 * takes the loader's lock. MT-Safe */
GP_INTERNAL const struct gp_module *gp_modules_listed (uintptr_t address);

/* While a redirected dlclose runs, handlers neither scan nor read CFI. begin waits for handlers that are
 * reading: less than 1 ms, or as long as their threads have no processor, a second at most; 2 ms where that was in vain
 * before. end takes the list up to date first, so that no rule of the module that went is used for the one that
 * comes. Not nested by the caller, but many threads may. MT-Safe | AS-Unsafe lock */
GP_INTERNAL void gp_modules_close_begin (void);
GP_INTERNAL void gp_modules_close_end (void);

#endif
