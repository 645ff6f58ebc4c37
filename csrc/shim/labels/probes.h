/* SPDX-License-Identifier: MIT */
/* probes.h: a pad's probes run for the element that the pad belongs to.
 *
 * Context: hook (import-slot replacement, in libgstreamer alone).
 */
#ifndef GP_PROBES_H
#define GP_PROBES_H

#include "shim/labels/elements.h"

/* The real function of the replacement below; set by the redirect pass. */
extern GP_INTERNAL __typeof__ (&g_hook_list_marshal) g_real_run_probes;

/* An event is being pushed over the pad by the label in force at sp. Called before the hook enters the peer. */
static inline void
gp_probes_expect (struct gp_thread *thread, GstPad *pad, uintptr_t sp)
{
  /* Even where the pad has no probes: some may be added during the push. */
  if (gp_elements_pad_label (thread, pad, GP_PAD_OWN_LOCKED, 0) == 0) {
    thread->probed_pad = pad;
    thread->probed_label = gp_label_current (thread, sp);
  }
}

/* The push is over. */
static inline void
gp_probes_over (struct gp_thread *thread, const GstPad *pad)
{
  if (thread->probed_pad == pad)
    thread->probed_pad = NULL;
}

/* Called, as GStreamer does, under the pad's object lock. MT-Safe | AS-Unsafe (rare mmap) */
GP_INTERNAL void gp_probes_run (GHookList *probes, gboolean may_recurse, GHookMarshaller marshaller, gpointer data);

#endif
