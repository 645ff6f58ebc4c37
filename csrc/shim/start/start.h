/* SPDX-License-Identifier: MIT */
/* start.h: the tracer is made, and profiling begins. The end: stop.h.
 *
 * Context: lifecycle, on the host's thread that calls gst_init().
 */
#ifndef GP_START_H
#define GP_START_H

#include <gst/gst.h>
#include "shim/base/segment.h"

/* Runs the steps that start.c lists. A step that fails prints one line and leaves the shim inert: the host runs on,
 * unprofiled. A second call in the process does nothing. */
GP_INTERNAL void gp_start (GstTracer *tracer, const char *params);

/* Whether gp_start() was called. */
GP_INTERNAL bool gp_start_was_called (void);

#endif
