/* SPDX-License-Identifier: MIT */
/* contexts.h: labels for what GStreamer's libraries and plugins let run on the thread of a GMainContext.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements).
 */
#ifndef GP_CONTEXTS_H
#define GP_CONTEXTS_H

#include <glib.h>
#include "shim/base/segment.h"

typedef void (*gp_context_invoke_function) (GMainContext *, GSourceFunc, gpointer);
typedef void (*gp_context_invoke_full_function) (GMainContext *, gint, GSourceFunc, gpointer, GDestroyNotify);

/* The real functions of the replacements below, set by the redirect pass, and the modules whose calls are replaced. */
extern GP_INTERNAL gp_context_invoke_function g_real_context_invoke;
extern GP_INTERNAL gp_context_invoke_full_function g_real_context_invoke_full;
extern GP_INTERNAL const char *const g_context_callers[];

/* Let the function run under the label of the element that asks for it. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_context_invoke (GMainContext *context, GSourceFunc function, gpointer data);
GP_INTERNAL void gp_context_invoke_full (
    GMainContext *context, gint priority, GSourceFunc function, gpointer data, GDestroyNotify notify);

#endif
