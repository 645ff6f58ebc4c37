/* SPDX-License-Identifier: MIT */
/* python_tags.h: tags the calling thread for pyroscope-io with the element that it runs for.
 *
 * pyroscope-io takes the samples of Python code itself (host_python.py), and gives each the tags of its thread.
 *
 * Context: lifecycle, with the interpreter's lock.
 */
#ifndef GP_PYTHON_TAGS_H
#define GP_PYTHON_TAGS_H

#include <stdatomic.h>
#include "shim/base/thread_state.h"
#include "shim/python/python_api.h"

/* add, remove: pyroscope-io's functions, called as (key, value), never released; NULL: threads are tagged no more. */
GP_INTERNAL void gp_python_tags_use (PyObject *add, PyObject *remove);

extern GP_INTERNAL _Atomic bool g_python_tags_wanted;

/* Whether threads are to be tagged. Pairs with the release in gp_python_tags_use(). MT-Safe | AS-Safe */
static inline bool
gp_python_tags_wanted (void)
{
  return atomic_load_explicit (&g_python_tags_wanted, memory_order_acquire);
}

/* Sets the calling thread's tags to those of a label. thread: its state; NULL: it has none. Does nothing in a
 * sub-interpreter: pyroscope-io belongs to the main one. */
GP_INTERNAL void gp_python_tag (struct gp_thread *thread, uint32_t label);

#endif
