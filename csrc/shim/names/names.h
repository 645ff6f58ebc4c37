/* SPDX-License-Identifier: MIT */
/* names.h: names of functions that no file holds, for the agent (the segment's list).
 *
 * Plugins are stripped, but GST_DEBUG_FUNCPTR registers their static functions' names at run time; a class's slots say
 * what a function is for; a compiler inside the process (ORC) names what it makes.
 *
 * Context: said at each function.
 */
#ifndef GP_NAMES_H
#define GP_NAMES_H

#include "shim/base/gst_api.h"

/* Remember what is met: its type, and the functions of its pads. No name is looked for yet. The caller holds a
 * reference. Hook, slow path. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_names_meet_element (GstElement *element);
GP_INTERNAL void gp_names_meet_pad (GstPad *pad);

/* Names what was met since the last call; cheap where nothing was. May wait for the loader's lock.
 * Poller. MT-Unsafe | AS-Unsafe lock heap */
GP_INTERNAL void gp_names_refresh (void);

#endif
