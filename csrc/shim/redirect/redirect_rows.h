/* SPDX-License-Identifier: MIT */
/* redirect_rows.h: which calls are redirected, and what a pass over the modules must know besides.
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
  void *replacement; /* NULL: none, only real is asked for */
  void **real;       /* set before the first slot is redirected, NULL until some module defines the name */
  /* beginnings of the file names or sonames of modules that it is for, NULL behind the last; NULL: all. Of several rows
   * of one name a module gets the first that is for it. */
  const char *const *only;
};

/* Filled by gp_redirect_init(), immutable afterwards. */
extern GP_INTERNAL struct gp_redirect g_redirect_rows[GP_REDIRECTS_MAX];
extern GP_INTERNAL size_t g_redirect_row_count;

extern GP_INTERNAL _Atomic bool g_redirect_pending;

/* Modules may have come that no pass has seen: ask before calls that are to be seen. MT-Safe | AS-Safe */
static inline bool
gp_redirect_pending (void)
{
  return atomic_load_explicit (&g_redirect_pending, memory_order_relaxed); /* a hint, orders nothing */
}

/* Some module was opened by RTLD_DEEPBIND: it looks at what it brought along before the global scope. */
extern GP_INTERNAL _Atomic bool g_redirect_deepbind;

#endif
