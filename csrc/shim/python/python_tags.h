/* SPDX-License-Identifier: MIT */
/* python_tags.h: whose Python code it is that a thread of the host runs.
 *
 * The label in force is set as pyroscope-io's tags of the thread. Only that: Python's own samples are pyroscope-io's
 * (host_python.py).
 *
 * Context: lifecycle, with the interpreter's lock.
 */
#ifndef GP_PYTHON_TAGS_H
#define GP_PYTHON_TAGS_H

#include <stdatomic.h>
#include "shim/base/thread_state.h"
#include "shim/python/python_api.h"

/* pyroscope-io's functions, kept for ever; NULL: no more tags. */
GP_INTERNAL void gp_python_tags_use (PyObject *add, PyObject *remove);

extern GP_INTERNAL _Atomic bool g_python_tags_wanted;

/* Whether threads are to be tagged. MT-Safe | AS-Safe */
static inline bool
gp_python_tags_wanted (void)
{
  return atomic_load_explicit (&g_python_tags_wanted, memory_order_acquire);
}

/* Sets the calling thread's tags to those of a label. thread: its state, NULL: it has none. */
GP_INTERNAL void gp_python_tag (struct gp_thread *thread, uint32_t label);

#endif
