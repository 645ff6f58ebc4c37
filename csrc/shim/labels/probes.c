/* SPDX-License-Identifier: MIT */
/* probes.c: the label of pad probes.
 *
 * Probes belong to their pad's element. Those of a pad that pushes an event, or pulls, run after the hook has entered
 * the peer's label: before the peer itself runs, or after it. GStreamer runs a pad's probes by g_hook_list_marshal(),
 * whose import slot in libgstreamer is redirected. GStreamer holds the pad's object lock at that call, so the pad's
 * element cannot be looked up: it can only be in the thread's cache. The hooks of events and pulls put it there. The
 * cache has no element for a ghost pad, nor for a pad whose lock was held at the hook: then probes count for the
 * element that pushes the event. Where no hook ran first (the application itself sends a query over a pad), probes
 * count for the label in force, as does an idle probe that gst_pad_add_probe() calls at once.
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
  /* Not where an entry was made from the same frame: the new entry would replace it. */
  bool enters = own != 0 && gp_label_current (thread, boundary.sp) != own
                && (thread->depth == 0 || thread->entries[thread->depth - 1].sp > boundary.sp);
  if (enters)
    gp_label_push (thread, boundary);
  g_real_run_probes (probes, may_recurse, marshaller, data);
  if (enters && atomic_load (&g_active)) /* not in the child of a fork */
    gp_label_pop (thread, boundary.sp);
}
