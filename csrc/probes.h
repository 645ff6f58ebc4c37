/* SPDX-License-Identifier: MIT */
/* probes.h: a pad's probes run for the element that the pad belongs to.
 *
 * Context: hook (import-slot replacement, in libgstreamer alone).
 */
#ifndef GP_PROBES_H
#define GP_PROBES_H

#include "gst.h"

/* What the replacement below stands for; set by imports.c. */
extern GP_INTERNAL __typeof__ (&g_hook_list_marshal) g_real_run_probes;

/* Requires, as GStreamer has it: the pad's object lock. MT-Safe | AS-Unsafe (rare mmap) */
GP_INTERNAL void gp_probes_run (GHookList *probes, gboolean may_recurse, GHookMarshaller marshaller, gpointer data);

#endif
