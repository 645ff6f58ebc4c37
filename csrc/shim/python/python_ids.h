/* SPDX-License-Identifier: MIT */
/* python_ids.h: which tags stand at a thread id of Python's.
 *
 * Context: lifecycle, with the interpreter's lock.
 */
#ifndef GP_PYTHON_IDS_H
#define GP_PYTHON_IDS_H

#include <stdint.h>
#include "shim/python/python_api.h"

enum
{
  GP_PYTHON_TAGS = 4
};

/* A label's tags: tuples (key, value), NULL where it has fewer. A label's row is another's one day, and its element
 * may move: then they are other tags. */
struct gp_python_tags
{
  uint32_t label; /* 0: none */
  uint32_t serial;
  uint32_t parent;
  PyObject *pairs[GP_PYTHON_TAGS];
};

struct gp_tagged
{
  uintptr_t id;                /* a pthread_t; 0: a free row */
  struct gp_python_tags stand; /* what was added for it, with a reference to each */
};

/* The row of an id, made where it has none; it stays where it is until the next call. NULL, and counted: 32,768 ids
 * have one. MT-Unsafe | AS-Unsafe */
struct gp_tagged *gp_python_find_tagged (uintptr_t id) __attribute__ ((visibility ("hidden")));

#endif
