/* SPDX-License-Identifier: MIT */
/* probes.c: the label of pad probes.
 *
 * The probes of a pad that pushes an event, or pulls, run between the hook that enters the peer and the peer itself, or
 * behind it. GStreamer runs a pad's probes by g_hook_list_marshal(), whose import slot in libgstreamer is redirected.
 * It holds the pad's object lock there, so nobody can be asked whose the pad is: only the thread's cache tells. The
 * hooks of events and pulls have seen to it. A ghost pad has no element of its own, nor is one known whose lock
 * somebody held: there it is who pushes the event. Where no hook came first (a query that the application itself sends
 * over a pad), probes count for who runs, as does an idle probe that gst_pad_add_probe() calls at once.
 *
 * Context: hook.
 */
#include "shim/labels/probes.h"
#include "shim/labels/label.h"

__typeof__ (&g_hook_list_marshal) g_real_run_probes;

void
gp_probes_run (GHookList *probes, gboolean may_recurse, GHookMarshaller marshaller, gpointer data)
{
  struct gp_thread *thread = atomic_load_explicit (&g_active, memory_order_relaxed) ? gp_thread_known () : NULL;
  const GstPad *pad = (const GstPad *) ((const char *) probes - offsetof (GstPad, probes));
  uint32_t own = thread != NULL ? gp_elements_pad_known (thread, pad, GP_PAD_OWN) : 0;
  if (own == 0 && thread != NULL && thread->probed_pad == pad)
    own = thread->probed_label;
  struct gp_boundary boundary = GP_CALLER (own);
  /* Not where an entry was made from the same frame: the new one would pass for its successor. */
  bool enters = own != 0 && gp_label_current (thread, boundary.sp) != own
                && (thread->depth == 0 || thread->entries[thread->depth - 1].sp > boundary.sp);
  if (enters)
    gp_label_push (thread, boundary);
  g_real_run_probes (probes, may_recurse, marshaller, data);
  if (enters && atomic_load (&g_active)) /* not in the child of a fork */
    gp_label_pop (thread, boundary.sp);
}
