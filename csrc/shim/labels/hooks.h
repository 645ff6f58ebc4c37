/* SPDX-License-Identifier: MIT */
/* hooks.h: GStreamer's tracer hooks, and gst_pad_send_event(), which has none, push and pop labels.
 *
 * Context: registration is lifecycle.
 */
#ifndef GP_HOOKS_H
#define GP_HOOKS_H

#include "shim/base/gst_api.h"

/* Registers all hooks that this GStreamer has. 1.22 added pad-chain-*, which name the callee's own pad; older ones have
 * the peer of the pushing pad looked up. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_hooks_register (GstTracer *tracer);

/* The real function of the replacement below; set by the redirect pass. */
extern GP_INTERNAL __typeof__ (&gst_pad_send_event) g_hooks_real_send_event;

/* Enters the pad's element for as long as it takes the event. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL gboolean gp_hooks_send_event (GstPad *pad, GstEvent *event);

#endif
