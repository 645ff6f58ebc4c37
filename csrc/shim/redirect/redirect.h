/* SPDX-License-Identifier: MIT */
/* redirect.h: calls we must see, redirected in the import slots of every module.
 *
 * A slot is where a module keeps the address of a function it imports (ELF relocations JUMP_SLOT, GLOB_DAT, and
 * absolute ones). A slot is redirected only where it is bound to the function that the global scope gives; one that
 * holds anything else, another interposer's function above all, is left alone: cutting that one off would change the
 * host, and chaining to it would be a call to code that may go. What is preloaded, a sanitizer say, is what the global
 * scope gives.
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_REDIRECT_H
#define GP_REDIRECT_H

#include "shim/redirect/redirect_rows.h"

/* The n rows at table stay in use. Redirects nothing yet. Lifecycle, once. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL void gp_redirect_init (const struct gp_redirect *table, size_t n);

/* Set by the poller around what takes the loader's lock: the thread that waits for it at the host's end may be the one
 * that holds the lock (stop.c). */
extern GP_INTERNAL _Atomic bool g_redirect_at_loader;

/* Redirects the slots of all modules that came since the last pass. Never waits for a dlopen in another thread; what is
 * not ready yet is left to a later pass. Keeps errno and dlerror. MT-Safe | AS-Unsafe lock */
GP_INTERNAL void gp_redirect_pass (void);

/* A pass that also does the modules whose state shows only while the loader's own lock is held, so it may wait for as
 * long as another thread's constructors run. Poller only: nobody waits for that one. MT-Safe | AS-Unsafe lock heap */
GP_INTERNAL void gp_redirect_settle (void);

#endif
