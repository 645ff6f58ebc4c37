/* SPDX-License-Identifier: MIT */
/* cfi_find.h: from a pc to its FDE.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_FIND_H
#define GP_CFI_FIND_H

#include "shared/eh_frame.h"
#include "shim/signal/module_lookup.h"

/* Finds the FDE that covers pc. False: no FDE does. Then [fde->start, fde->end) is the code around pc without an FDE,
 * empty where that is not known. */
GP_INTERNAL bool gp_cfi_find (uintptr_t pc, const struct gp_code *code, struct gp_fde *fde);

#endif
