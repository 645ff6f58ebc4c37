/* SPDX-License-Identifier: MIT */
/* contexts.c: labels for what runs on the thread of a GMainContext on behalf of another thread.
 *
 * A GL context has one thread, made by the first element that needs it (glupload, say). All elements that share the
 * context render on that thread. Every way to it (gst_gl_context_thread_add, gst_gl_window_send_message and others)
 * goes through the window's main context, by g_main_context_invoke(). Calls within libgstgl are bound when it is linked
 * and use no import slot; this call leaves the library. The threads of libnice and rtmp2 get their work in the same
 * way.
 *
 * Context: lifecycle, on the host's threads.
 */
#include "shim/labels/contexts.h"

#include <stdlib.h>
#include "shim/base/gst_api.h"
#include "shim/labels/label.h"

gp_context_invoke_function g_real_context_invoke;
gp_context_invoke_full_function g_real_context_invoke_full;
/* The host's own calls are left alone: it may look up its sources by their data (g_source_remove_by_user_data). */
const char *const g_context_callers[] = { "libgst", NULL };

struct context_call
{
  GSourceFunc function;
  gpointer data;
  GDestroyNotify notify;
  uint32_t label; /* of the element that asked; it has a reference from here */
};

static gboolean
run_context_call (gpointer data)
{
  struct context_call *call = data;
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL)
    return call->function (call->data);
  struct gp_boundary boundary = GP_CALLER (call->label);
  gp_label_push (thread, boundary);
  gboolean again = call->function (call->data);
  if (atomic_load (&g_active)) /* not in the child of a fork, which would write to its parent's accounts */
    gp_label_pop (thread, boundary.sp);
  return again;
}

static void
end_context_call (gpointer data)
{
  struct context_call *call = data;
  if (call->notify != NULL)
    call->notify (call->data);
  if (atomic_load (&g_active)) /* as above */
    gp_label_unref (call->label);
  free (call);
}

/* NULL: the call is to be passed on unchanged. */
static struct context_call *
make_context_call (GSourceFunc function, gpointer data, GDestroyNotify notify)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_thread *thread = atomic_load (&g_active) && function != NULL ? gp_thread_current () : NULL;
  uint32_t label = thread != NULL ? gp_label_to_hand_over (thread) : 0;
  struct context_call *call = label != 0 ? malloc (sizeof *call) : NULL;
  if (call == NULL || !gp_label_ref (label)) {
    free (call);
    call = NULL;
  }
  if (call != NULL)
    *call = (struct context_call) { function, data, notify, label };
  return call;
}

void
gp_context_invoke (GMainContext *context, GSourceFunc function, gpointer data)
{
  struct context_call *call = make_context_call (function, data, NULL);
  if (call == NULL)
    g_real_context_invoke (context, function, data);
  else
    GST (g_main_context_invoke_full) (context, G_PRIORITY_DEFAULT, run_context_call, call, end_context_call);
}

void
gp_context_invoke_full (
    GMainContext *context, gint priority, GSourceFunc function, gpointer data, GDestroyNotify notify)
{
  struct context_call *call = make_context_call (function, data, notify);
  if (call == NULL)
    g_real_context_invoke_full (context, priority, function, data, notify);
  else
    g_real_context_invoke_full (context, priority, run_context_call, call, end_context_call);
}
