/* SPDX-License-Identifier: MIT */
/* cfi_bytes.c: reads numbers as DWARF writes them: little endian, unaligned, in LEB128 or encoded (LSB Core 5.0, 10.5).
 *
 * Context: signal.
 */
#include "shim/signal/cfi_bytes.h"
#include "shim/signal/dwarf_codes.h"

uint64_t
gp_read_fixed (struct gp_reader *reader, unsigned bytes)
{
  if (reader->end < reader->at || reader->end - reader->at < bytes) {
    reader->bad = true;
    reader->at = reader->end;
    return 0;
  }
  const uint8_t *p = (const uint8_t *) reader->at;
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++)
    value |= (uint64_t) p[i] << (8 * i);
  reader->at += bytes;
  return value;
}

/* Digits beyond 64 bits are dropped; the length is bounded by the reader's end. */
uint64_t
gp_read_uleb (struct gp_reader *reader)
{
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    uint64_t byte = gp_read_fixed (reader, 1);
    if (shift < 64)
      value |= (byte & 0x7f) << shift;
    if ((byte & 0x80) == 0)
      return value;
  }
}

int64_t
gp_read_sleb (struct gp_reader *reader)
{
  uint64_t value = 0;
  for (unsigned shift = 0;;) {
    uint64_t byte = gp_read_fixed (reader, 1);
    if (shift < 64)
      value |= (byte & 0x7f) << shift;
    shift += 7;
    if ((byte & 0x80) == 0) {
      if (shift < 64 && (byte & 0x40) != 0)
        value |= ~(uint64_t) 0 << shift;
      return (int64_t) value;
    }
  }
}

uintptr_t
gp_read_encoded (struct gp_reader *reader, uint8_t encoding, uintptr_t data_base)
{
  uintptr_t origin = reader->at, value;
  switch (encoding & 0x0f) {
    case EH_ABSPTR:
    case EH_UDATA8:
    case EH_SDATA8:
      value = gp_read_fixed (reader, 8);
      break;
    case EH_ULEB128:
      value = gp_read_uleb (reader);
      break;
    case EH_SLEB128:
      value = (uintptr_t) gp_read_sleb (reader);
      break;
    case EH_UDATA2:
      value = gp_read_fixed (reader, 2);
      break;
    case EH_SDATA2:
      value = (uintptr_t) (int64_t) (int16_t) gp_read_fixed (reader, 2);
      break;
    case EH_UDATA4:
      value = gp_read_fixed (reader, 4);
      break;
    case EH_SDATA4:
      value = (uintptr_t) (int64_t) (int32_t) gp_read_fixed (reader, 4);
      break;
    default:
      reader->bad = true;
      return 0;
  }
  switch (encoding & 0x70) {
    case EH_ABSPTR:
      return value;
    case EH_PCREL:
      return value + origin;
    case EH_DATAREL:
      return value + data_base;
    default: /* text and function relative: no tool for these machines writes them */
      reader->bad = true;
      return 0;
  }
}
