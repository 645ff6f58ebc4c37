/* SPDX-License-Identifier: MIT */
/* python_entry.h: where threads of the host take the interpreter's lock.
 *
 * Context: said at each function.
 */
#ifndef GP_PYTHON_ENTRY_H
#define GP_PYTHON_ENTRY_H

#include "shim/python/python_api.h"

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

/* A thread of the host has entered Python; read by the poller. */
extern GP_INTERNAL _Atomic bool g_python_entered;

/* CLOCK_MONOTONIC, ns: until then threads of the host that enter Python let a thread of ours have the interpreter's
 * lock first; 0: they do not. */
extern GP_INTERNAL _Atomic uint64_t g_python_lock_wanted;

/* Threads are tagged from here on, by these functions of pyroscope-io's, which are kept for ever. On our own thread,
 * which is tagged by it. Requires: the interpreter's lock. */
GP_INTERNAL void gp_python_tagging_start (PyObject *add, PyObject *remove);

/* No more tags. Requires: the interpreter's lock. */
GP_INTERNAL void gp_python_tagging_stop (void);

#endif
