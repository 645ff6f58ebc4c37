/* SPDX-License-Identifier: MIT */
/* python_entry.h: a thread of the host enters Python: it takes the interpreter's lock.
 *
 * Context: lifecycle. gp_python_ensure(), gp_python_restore() and gp_python_thread_starts() run on the host's threads,
 * the rest on our own.
 */
#ifndef GP_PYTHON_ENTRY_H
#define GP_PYTHON_ENTRY_H

#include "shim/python/python_api.h"

/* The real PyGILState_Ensure() and PyEval_RestoreThread(), their replacements, and the modules whose calls are
 * redirected. Set by the pass over the modules. */
struct gp_python_lock
{
  int (*ensure) (void);
  void (*restore) (void *);
};
extern GP_INTERNAL struct gp_python_lock g_python_real;
extern GP_INTERNAL const char *const g_python_callers[];
GP_INTERNAL int gp_python_ensure (void);
GP_INTERNAL void gp_python_restore (void *state);

/* The calling thread begins: it will run this function, under this label. A thread of Python's module `_thread` is
 * tagged now, since it may never make a redirected call. MT-Safe | AS-Unsafe lock heap */
GP_INTERNAL void gp_python_thread_starts (void *(*function) (void *), void *argument, uint32_t label);

/* A thread of the host has entered Python. Read by the poller. */
extern GP_INTERNAL _Atomic bool g_python_entered;

/* CLOCK_MONOTONIC, ns: until then threads of the host that enter Python let our own thread have the interpreter's lock
 * first; 0: they do not. */
extern GP_INTERNAL _Atomic uint64_t g_python_lock_wanted;

/* From here on threads that enter Python are tagged, by these functions of pyroscope-io, which are never released. Tags
 * the calling thread, which is ours, as the agent. Requires: the interpreter's lock. */
GP_INTERNAL void gp_python_tagging_start (PyObject *add, PyObject *remove);

/* Threads are tagged no more. Requires: the interpreter's lock. */
GP_INTERNAL void gp_python_tagging_stop (void);

#endif
