/* SPDX-License-Identifier: MIT */
/* redirect_slot.h: redirects one slot where that is safe now.
 *
 * Context: lifecycle, under the loader's list lock (redirect.c). MT-Unsafe but for that lock | AS-Unsafe.
 */
#ifndef GP_REDIRECT_SLOT_H
#define GP_REDIRECT_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/redirect/redirect_elf.h"

/* What a slot for one name must hold, before and after. */
struct gp_slot_target
{
  uintptr_t real;
  uintptr_t replacement;
  bool certain; /* the loader will bind a slot that is not bound yet to real */
};

enum gp_slot_outcome
{
  GP_SLOT_LEFT_ALONE,
  GP_SLOT_REDIRECTED,
  GP_SLOT_NOT_READY /* the loader may not have relocated the module yet */
};

/* The loader has made the module's RELRO pages read-only, which it does last. */
GP_INTERNAL bool gp_slot_module_closed (const struct gp_loaded_elf *elf);

/* ready: the module is relocated for sure. */
GP_INTERNAL enum gp_slot_outcome gp_slot_redirect (const struct gp_loaded_elf *elf, const struct gp_loaded_slot *slot,
    const struct gp_slot_target *target, bool ready);

#endif
