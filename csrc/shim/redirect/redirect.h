/* SPDX-License-Identifier: MIT */
/* redirect.h: calls we must see, redirected in the import slots of every module.
 *
 * A slot is where a module keeps the address of a function it imports (ELF relocations JUMP_SLOT, GLOB_DAT, and
 * absolute ones). A slot is redirected only where it is bound to the function that the global scope gives; one that
 * holds anything else, another interposer's function above all, is left alone: cutting that one off would change the
 * host, and chaining to it would be a call to code that may go. What is preloaded, a sanitizer say, is what the global
 * scope gives.
 *
 * Context: lifecycle; dlopen's and dlclose's replacements run on the host's threads.
 */
#ifndef GP_REDIRECT_H
#define GP_REDIRECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shim/base/segment.h"

enum
{
  GP_REDIRECTS_MAX = 32 /* rows; dlopen and dlclose take two more */
};

struct gp_redirect
{
  const char *name;
  void *replacement; /* NULL: none, only real is asked for */
  void **real;       /* set before the first slot is redirected, NULL until some module defines the name */
  /* beginnings of the file names or sonames of modules that it is for, NULL behind the last; NULL: all. Of several rows
   * of one name a module gets the first that is for it. */
  const char *const *only;
};

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

extern GP_INTERNAL _Atomic bool g_redirect_pending;

/* Modules may have come that no pass has seen: ask before calls that are to be seen. MT-Safe | AS-Safe */
static inline bool
gp_redirect_pending (void)
{
  return atomic_load_explicit (&g_redirect_pending, memory_order_relaxed); /* a hint, orders nothing */
}

/* Modules in which a slot was redirected, and such slots; for the debug log. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_redirect_modules (void);
GP_INTERNAL uint32_t gp_redirect_slots (void);

/* Between redirect.c and dlopen.c. */
GP_INTERNAL void *gp_redirect_dlopen (const char *name, int mode);
GP_INTERNAL int gp_redirect_dlclose (void *handle);
extern GP_INTERNAL void *g_real_dlopen;
extern GP_INTERNAL void *g_real_dlclose;

/* Some module was opened by RTLD_DEEPBIND: it looks at what it brought along before the global scope. */
extern GP_INTERNAL _Atomic bool g_redirect_deepbind;

#endif
