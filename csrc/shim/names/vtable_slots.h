/* SPDX-License-Identifier: MIT */
/* vtable_slots.h: the virtual methods in the class structs of GStreamer's base classes, by their offsets.
 *
 * Context: poller.
 */
#ifndef GP_VTABLE_SLOTS_H
#define GP_VTABLE_SLOTS_H

#include "shim/base/segment.h"

/* The name of the slot at this offset of a class struct. The slots of the class called type begin at base. NULL: it is
 * not known for certain. MT-Safe | AS-Safe */
GP_INTERNAL const char *gp_names_slot (const char *type, size_t base, size_t offset);

#endif
