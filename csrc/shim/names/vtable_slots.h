/* SPDX-License-Identifier: MIT */
/* vtable_slots.h: what stands where in the class structs of GStreamer's base classes.
 *
 * Context: poller.
 */
#ifndef GP_VTABLE_SLOTS_H
#define GP_VTABLE_SLOTS_H

#include "shim/base/segment.h"

/* The slot at this offset of a class struct, where the slots of the class called type begin at base;
 * NULL where none is known for certain. MT-Safe | AS-Safe */
GP_INTERNAL const char *gp_names_slot (const char *type, size_t base, size_t offset);

#endif
