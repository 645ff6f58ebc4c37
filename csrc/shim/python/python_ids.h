/* SPDX-License-Identifier: MIT */
/* python_ids.h: which tags pyroscope-io has for a thread id.
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

/* The tags of a label. They are out of date where serial or parent differs from the label's: the row of a label that
 * has ended gets another label, and an element may move to another bin. */
struct gp_python_tags
{
  uint32_t label; /* 0: no tags */
  uint32_t serial;
  uint32_t parent;
  PyObject *pairs[GP_PYTHON_TAGS]; /* tuples (key, value), NULL where there are fewer */
};

struct gp_python_id
{
  uintptr_t id;               /* a pthread_t; 0: a free row */
  struct gp_python_tags tags; /* what was added for the id, with a reference to each pair */
};

/* The row of an id, made where there is none. Valid until the next call. NULL: 32,768 ids have rows; counts
 * GP_COUNTER_TAGS_FULL. MT-Unsafe | AS-Unsafe */
GP_INTERNAL struct gp_python_id *gp_python_id_row (uintptr_t id);

#endif
