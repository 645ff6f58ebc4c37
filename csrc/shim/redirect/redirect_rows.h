/* SPDX-License-Identifier: MIT */
/* redirect_rows.h: which calls are redirected, and two flags for passes over the modules.
 *
 * Context: lifecycle and poller.
 */
#ifndef GP_REDIRECT_ROWS_H
#define GP_REDIRECT_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shim/base/segment.h"

enum
{
  GP_REDIRECTS_MAX = 34
};

struct gp_redirect
{
  const char *name;
  void *replacement; /* NULL: only real is wanted */
  void **real;       /* set before the first slot is redirected, NULL until some module defines the name */
  /* The modules that it is for, by how their file names or sonames begin, NULL behind the last; NULL: all modules. Of
   * several rows of one name a module gets the first that is for it. */
  const char *const *only;
};

/* Filled by gp_redirect_init(), immutable afterwards. */
extern GP_INTERNAL struct gp_redirect g_redirect_rows[GP_REDIRECTS_MAX];
extern GP_INTERNAL size_t g_redirect_row_count;

extern GP_INTERNAL _Atomic bool g_redirect_pending;

/* Modules may have been loaded that no pass has seen: to be asked before calls that must be seen. MT-Safe | AS-Safe */
static inline bool
gp_redirect_pending (void)
{
  return atomic_load_explicit (&g_redirect_pending, memory_order_relaxed); /* a hint, orders nothing */
}

/* A module was opened by RTLD_DEEPBIND: the loader searches its own dependencies before the global scope. */
extern GP_INTERNAL _Atomic bool g_redirect_deepbind;

#endif
