/* SPDX-License-Identifier: MIT */
/* cfi_find.h: from a pc to its FDE.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_FIND_H
#define GP_CFI_FIND_H

#include "shim/signal/cfi_bytes.h"
#include "shim/signal/module_lookup.h"

/* What an FDE and its CIE say about a function. */
struct gp_fde
{
  uintptr_t start, end;              /* of the function's code */
  struct gp_reader initial, program; /* instructions of the CIE, of the FDE */
  uintptr_t base, limit;             /* the segment that holds it all */
  uint64_t code_align;
  int64_t data_align;
  uint64_t ra_column;
  uint8_t encoding; /* of addresses */
  bool signal;      /* the frame was made by the kernel: its caller's pc is exact */
};

/* Finds the FDE that covers pc. False: there is none; fde->start and end are then the stretch without, empty where that
 * cannot be said. */
GP_INTERNAL bool gp_cfi_find (uintptr_t pc, const struct gp_code *code, struct gp_fde *fde);

#endif
