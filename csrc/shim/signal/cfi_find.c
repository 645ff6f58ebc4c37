/* SPDX-License-Identifier: MIT */
/* cfi_find.c: from a pc to its FDE. shared/eh_frame.h reads the table and the FDE.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi_find.h"

bool
gp_cfi_find (uintptr_t pc, const struct gp_code *code, struct gp_fde *fde)
{
  struct gp_eh_frame_table table;
  fde->start = fde->end = 0;
  if (!gp_eh_frame_open (&table, code->lo, code->hi, code->hdr))
    return false;
  uint64_t row = gp_eh_frame_search (&table, pc);
  if (!gp_eh_frame_read (&table, row, fde)) {
    fde->start = fde->end = 0;
    return false;
  }
  if (fde->start <= pc && pc < fde->end)
    return true;
  if (pc < fde->start) { /* below the first */
    fde->end = fde->start;
    fde->start = code->start;
  } else {
    fde->start = fde->end;
    fde->end = row + 1 < table.count ? gp_eh_frame_start (&table, row + 1) : code->end;
  }
  return false;
}
