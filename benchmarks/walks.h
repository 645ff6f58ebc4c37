/* SPDX-License-Identifier: MIT */
/* walks.h: what the programs that walk a stack of their own have in common. Needs _GNU_SOURCE.
 *
 * Context: benchmarks only.
 */
#ifndef WALKS_H
#define WALKS_H

#include <pthread.h>
#include <stdlib.h>
#include "shim/base/segment.h"
#include "shim/signal/unwind_regs.h"

static inline struct gp_stack
own_stack (void)
{
  pthread_attr_t attributes;
  void *lowest;
  size_t bytes;
  pthread_getattr_np (pthread_self (), &attributes);
  pthread_attr_getstack (&attributes, &lowest, &bytes);
  pthread_attr_destroy (&attributes);
  return (struct gp_stack) { .lo = (uintptr_t) lowest, .hi = (uintptr_t) lowest + bytes };
}

static inline int
compare_ns (const void *a, const void *b)
{
  uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;
  return left < right ? -1 : left > right;
}

/* Sorts the values. */
static inline uint64_t
median_ns (uint64_t *ns, size_t count)
{
  qsort (ns, count, sizeof *ns, compare_ns);
  return ns[count / 2];
}

#endif
