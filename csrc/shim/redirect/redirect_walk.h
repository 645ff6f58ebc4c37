/* SPDX-License-Identifier: MIT */
/* redirect_walk.h: one pass over the loader's list; between redirect.c, which says when, and redirect_walk.c.
 *
 * Context: lifecycle, under the loader's list lock.
 */
#ifndef GP_REDIRECT_WALK_H
#define GP_REDIRECT_WALK_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shim/redirect/redirect_rows.h"

/* Who defines a row's name, in the order of the list, which is the order of the global scope for what the program
 * started with. */
struct gp_definition
{
  uintptr_t first;
  bool global; /* the first one is in the global scope for sure: it came no later than libc */
  bool several;
  bool versions; /* one of them has older versions that differ */
  bool kept;     /* one of them is *real as it stands */
};

struct gp_pass
{
  unsigned long long adds; /* modules ever loaded, and how many of them were done before */
  unsigned long long adds_done;
  bool again;     /* adds_done is given: look once more at what came after that */
  size_t modules; /* listed now */
  size_t index;
  bool libc_seen;
  struct gp_definition definitions[GP_REDIRECTS_MAX];
  /* what gp_redirect_settle() holds, or gave up on */
  uintptr_t held_bias, held_dynamic;
  bool held, given_up;
  /* the first module that was not ready */
  bool left_over;
  size_t left_index;
  uintptr_t left_bias, left_dynamic;
  char *left_name; /* PATH_MAX bytes, or NULL if not wanted */
};

/* Callback of dl_iterate_phdr, which it ends at the first module: data is a struct gp_pass, and the whole pass is made
 * within. MT-Safe lock (the caller's) | AS-Unsafe */
GP_INTERNAL int gp_redirect_walk (struct dl_phdr_info *info, size_t size, void *data);

/* Modules in which a slot was redirected, and such slots; for the debug log. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_redirect_modules (void);
GP_INTERNAL uint32_t gp_redirect_slots (void);

#endif
