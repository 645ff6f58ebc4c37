/* SPDX-License-Identifier: MIT */
/* start.h: the tracer comes up.
 *
 * In this order: segment, labels, accounts, signal, this thread; g_active; hooks; import slots; the other threads; a
 * controller gets the segment, where there is one; poller, which starts the agent elsewhere. The end: stop.h.
 *
 * Context: lifecycle, on the host's threads.
 */
#ifndef GP_START_H
#define GP_START_H

#include <gst/gst.h>
#include "shim/base/segment.h"

/* The tracer was made. On failure one line is said and everything stays inert. */
GP_INTERNAL void gp_start (GstTracer *tracer, const char *params);

/* Whether that was called. */
GP_INTERNAL bool gp_start_was_called (void);

#endif
