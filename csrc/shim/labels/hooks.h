/* SPDX-License-Identifier: MIT */
/* hooks.h: GStreamer's tracer hooks, and the call that has none, as reporters of labels.
 *
 * Context: registration is lifecycle.
 */
#ifndef GP_HOOKS_H
#define GP_HOOKS_H

#include "shim/base/gst_api.h"

/* Registers all hooks this GStreamer knows (1.22 added pad-chain-*, which name the callee's own pad; before it the
 * pushing pad's peer is asked). MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_hooks_register (GstTracer *tracer);

/* What the replacement below stands for; set by redirect.c. */
extern GP_INTERNAL __typeof__ (&gst_pad_send_event) g_hooks_real_send_event;

/* Enters the pad's element for as long as it takes the event. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL gboolean gp_hooks_send_event (GstPad *pad, GstEvent *event);

#endif
