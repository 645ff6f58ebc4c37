/* SPDX-License-Identifier: MIT */
/* python_ids.h: which label's tags stand at a thread id of Python's.
 *
 * Context: lifecycle, with the interpreter's lock.
 */
#ifndef GP_PYTHON_IDS_H
#define GP_PYTHON_IDS_H

#include <stdint.h>

struct gp_tagged
{
  uintptr_t id;   /* a pthread_t; 0: a free row */
  uint32_t label; /* 0: none */
};

/* The row of an id, made where it has none; it stays where it is until the next call. NULL, and counted: 32,768 ids
 * have one. MT-Unsafe | AS-Unsafe */
struct gp_tagged *gp_python_find_tagged (uintptr_t id) __attribute__ ((visibility ("hidden")));

#endif
