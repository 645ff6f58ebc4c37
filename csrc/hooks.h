/* SPDX-License-Identifier: MIT */
/* hooks.h: GStreamer's tracer hooks, as reporters of labels.
 *
 * Context: registration is lifecycle.
 */
#ifndef GP_HOOKS_H
#define GP_HOOKS_H

#include "gst.h"

/* Registers all hooks this GStreamer knows (1.22 added pad-chain-*, which name the callee's own pad; before it the
 * pushing pad's peer is asked). MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_hooks_register (GstTracer *tracer);

#endif
