/* SPDX-License-Identifier: MIT */
/* python_entered.h: between python_tags.c, which sets tags, and pyroscope_io.c, which brings up who takes them.
 *
 * Context: lifecycle.
 */
#ifndef GP_PYTHON_ENTERED_H
#define GP_PYTHON_ENTERED_H

#include "shim/python/python_api.h"

/* A thread of the host has entered Python; read by the poller. */
extern GP_INTERNAL _Atomic bool g_python_entered;

/* CLOCK_MONOTONIC, ns: until then threads of the host that enter Python let a thread of ours have the interpreter's
 * lock first; 0: they do not. */
extern GP_INTERNAL _Atomic uint64_t g_python_lock_wanted;

/* pyroscope-io's functions, kept for ever; NULL: no more tags. On our own thread, which is tagged by it. Requires: the
 * interpreter's lock. */
GP_INTERNAL void gp_python_tags_set (PyObject *add, PyObject *remove);

#endif
