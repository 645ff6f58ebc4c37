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

/* A name for the function that begins at start (bytes: 0), or for a range of code in no file. Lifecycle.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_names_add (uintptr_t start, uint32_t bytes, const char *text);

/* vtable_slots.c: the slot at this offset of a class struct, where the slots of the class called type begin at base;
 * NULL where none is known for certain. MT-Safe | AS-Safe */
GP_INTERNAL const char *gp_names_slot (const char *type, size_t base, size_t offset);

/* names_formats.c: names what packs and unpacks video and audio formats, once their libraries are there. Poller.
 * MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL void gp_names_formats (void);

/* names_orc.c: the replacement of liborc's function, to be redirected, and another of its functions, both found by the
 * pass over the modules. Lifecycle, on the host's threads. */
GP_INTERNAL void *gp_names_orc_take_code (void *program);
extern GP_INTERNAL void *(*g_names_real_orc_take_code) (void *program);
extern GP_INTERNAL const char *(*g_names_orc_get_name) (void *program);

#endif
