/* SPDX-License-Identifier: MIT */
/* redirect_walk.h: one pass over the loader's list; between redirect.c, which decides when, and redirect_walk.c.
 *
 * Context: lifecycle, under the loader's list lock.
 */
#ifndef GP_REDIRECT_WALK_H
#define GP_REDIRECT_WALK_H

#include <limits.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shim/redirect/redirect_rows.h"

/* Which modules define a row's name, in the order of the list. That is the order of the global scope for what the
 * program started with. */
struct gp_definition
{
  uintptr_t first;
  bool global; /* the first one is in the global scope for sure: it was loaded no later than libc */
  bool several;
  bool versions; /* one of them has older versions that differ */
  bool kept;     /* one of them is what *real holds now */
};

/* What is known of a module's relocation before its slots are read. */
enum gp_readiness
{
  GP_READY_BY_SIGNS, /* nothing: its RELRO pages, or the slot's value, must show that it is relocated */
  GP_READY,          /* it is relocated */
  GP_NEVER_READY     /* it is gone, or cannot be held: skip it */
};

enum gp_pass_result
{
  GP_PASS_NOT_MADE, /* a fork is coming, or the pass was called from within another one */
  GP_PASS_COMPLETE,
  GP_PASS_LEFT_OVER /* a module was not ready */
};

/* A module's base and dynamic section: the latter tells two apart that were loaded at one place. */
struct gp_module_identity
{
  uintptr_t bias, dynamic;
};

/* gp_pass.from: where the last pass ended. */
#define GP_FROM_LAST_PASS ULLONG_MAX

struct gp_pass
{
  /* set by the caller */
  unsigned long long from;         /* modules ever loaded that need not be read again, or GP_FROM_LAST_PASS */
  struct gp_module_identity known; /* the one module whose readiness the caller knows; zeros: none */
  enum gp_readiness readiness;     /* of that module */
  char *left_name;                 /* room for the name of the module left over, PATH_MAX bytes; NULL: not wanted */
  /* result */
  enum gp_pass_result result;
  unsigned long long adds;        /* modules ever loaded */
  struct gp_module_identity left; /* GP_PASS_LEFT_OVER: the first module that was not ready */
  size_t left_index;
  /* within the pass */
  size_t modules; /* in the list now */
  size_t index;   /* of the next one */
  bool libc_seen;
  struct gp_definition definitions[GP_REDIRECTS_MAX];
};

/* Callback of dl_iterate_phdr, which it ends at the first module: data is a struct gp_pass, and the whole pass is made
 * within. MT-Safe lock (the caller's) | AS-Unsafe */
GP_INTERNAL int gp_redirect_walk (struct dl_phdr_info *info, size_t size, void *data);

/* Modules in which a slot was redirected, and such slots; for the debug log. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_redirect_modules (void);
GP_INTERNAL uint32_t gp_redirect_slots (void);

#endif
