/* SPDX-License-Identifier: MIT */
/* cfi_bytes.h: reads numbers as DWARF writes them, within bounds.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_BYTES_H
#define GP_CFI_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* Bytes of CFI left to read. Reading past end sets bad and gives 0. */
struct gp_reader
{
  uintptr_t at, end;
  bool bad;
};

/* The readers: little endian, unaligned. gp_read_encoded: a pointer in one of the encodings DW_EH_PE_*; data_base is
 * what DW_EH_PE_datarel counts from. */
GP_INTERNAL uint64_t gp_read_fixed (struct gp_reader *reader, unsigned bytes);
GP_INTERNAL uint64_t gp_read_uleb (struct gp_reader *reader);
GP_INTERNAL int64_t gp_read_sleb (struct gp_reader *reader);
GP_INTERNAL uintptr_t gp_read_encoded (struct gp_reader *reader, uint8_t encoding, uintptr_t data_base);

#endif
