/* SPDX-License-Identifier: MIT */
/* names.h: names of functions that no file holds, for the agent (the segment's list).
 *
 * Plugins are stripped. But GST_DEBUG_FUNCPTR registers the names of their static functions at run time, the slots of a
 * class show what a function is for, and a compiler inside the process (ORC) names what it makes.
 *
 * Context: said at each function.
 */
#ifndef GP_NAMES_H
#define GP_NAMES_H

#include "shim/base/gst_api.h"

/* Keep the type, and the functions of the pads, for the poller to name. No name is looked up yet. The caller holds a
 * reference. Hook, slow path. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_names_collect_element (GstElement *element);
GP_INTERNAL void gp_names_collect_pad (GstPad *pad);

/* Names what was collected since the last call; cheap where nothing was. May wait for the loader's lock.
 * Poller. MT-Unsafe | AS-Unsafe lock heap */
GP_INTERNAL void gp_names_refresh (void);

#endif
