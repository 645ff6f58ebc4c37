/* SPDX-License-Identifier: MIT */
/* python_tags.h: whose Python code it is that a thread of the host runs.
 *
 * Where GStreamer's way into Python (PyGObject's _gi, libgstpython) takes the interpreter's lock, the label in force is
 * set as pyroscope-io's tags of that thread. Only that: Python's own samples are pyroscope-io's (host_python.py).
 *
 * Context: said at each function.
 */
#ifndef GP_PYTHON_TAGS_H
#define GP_PYTHON_TAGS_H

#include "shim/redirect/redirect.h"

/* The functions that take the lock, and the modules whose calls of them we see. */
struct gp_python_lock
{
  int (*ensure) (void);
  void (*restore) (void *);
};
extern GP_INTERNAL struct gp_python_lock g_python_real;
extern GP_INTERNAL const char *const g_python_callers[];
GP_INTERNAL int gp_python_ensure (void);
GP_INTERNAL void gp_python_restore (void *state);

/* A thread begins with this function, under this label. One that Python's `_thread` has made gets its tags now: it may
 * never come by an import slot. Lifecycle. MT-Safe | AS-Unsafe lock heap */
GP_INTERNAL void gp_python_thread_starts (void *(*function) (void *), void *argument, uint32_t label);

/* Poller: once a thread of the host has entered Python, starts the thread that brings pyroscope-io up.
 * MT-Unsafe | AS-Unsafe lock heap */
GP_INTERNAL void gp_python_poll (void);

/* Poller: has pyroscope-io push what it holds, and waits for it. MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL void gp_python_stop (void);

#endif
