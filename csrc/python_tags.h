/* SPDX-License-Identifier: MIT */
/* python_tags.h: between python.c, which sets tags, and python_agent.c, which brings up who takes them.
 *
 * Context: lifecycle.
 */
#ifndef GP_PYTHON_TAGS_H
#define GP_PYTHON_TAGS_H

#include "python_api.h"

/* A thread of the host has entered Python; read by the poller. */
extern GP_INTERNAL _Atomic bool g_python_entered;

/* pyroscope-io's functions, kept for ever; NULL: no more tags. On our own thread, which is tagged by it. Requires: the
 * interpreter's lock. */
GP_INTERNAL void gp_python_tags_set (PyObject *add, PyObject *remove);

#endif
