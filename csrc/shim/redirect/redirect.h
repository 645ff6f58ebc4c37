/* SPDX-License-Identifier: MIT */
/* redirect.h: calls we must see, redirected in the import slots of every module.
 *
 * A slot is where a module keeps the address of a function it imports (ELF relocations JUMP_SLOT, GLOB_DAT, and
 * absolute ones). A slot is redirected only where it is bound to the function that the global scope gives. Where
 * something is preloaded, a sanitizer say, that is its function. A slot that holds anything else, above all another
 * interposer's function, is left alone: to replace it would change the host, and to call it from ours would be a call
 * to code that may be unloaded.
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_REDIRECT_H
#define GP_REDIRECT_H

#include "shim/redirect/redirect_rows.h"

/* The n rows at table stay in use. Redirects nothing yet. Lifecycle, once. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_redirect_init (const struct gp_redirect *table, size_t n);

/* Set by the poller around what takes the loader's lock. At the host's end a thread waits for the poller, and may
 * itself hold that lock (stop.c). */
extern GP_INTERNAL _Atomic bool g_redirect_at_loader;

/* Redirects the slots of all modules that were loaded since the last pass. Never waits for a dlopen in another thread:
 * a module that is not ready yet is left to a later pass. Keeps errno and dlerror. MT-Safe | AS-Unsafe lock */
GP_INTERNAL void gp_redirect_pass (void);

/* A pass that also redirects modules whose state shows only while the loader's own lock is held. So it may wait for as
 * long as another thread's constructors run. Poller only: no thread waits for the poller here. MT-Safe | AS-Unsafe lock
 * heap */
GP_INTERNAL void gp_redirect_settle (void);

#endif
