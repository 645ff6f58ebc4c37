/* SPDX-License-Identifier: MIT */
/* dwarf_reader.h: reads numbers as DWARF writes them: little endian, unaligned, in LEB128 or as an encoded pointer
 * (LSB Core 5.0, 10.5). No read leaves the reader's bounds.
 *
 * Context: signal, agent. Calls nothing of libc. All functions MT-Safe | AS-Safe
 */
#ifndef GP_DWARF_READER_H
#define GP_DWARF_READER_H

#include <stdbool.h>
#include <stdint.h>

/* DW_EH_PE: how pointers are encoded. The low four bits are the format, the next three the origin. */
enum
{
  EH_ABSPTR = 0x00,
  EH_ULEB128 = 0x01,
  EH_UDATA2 = 0x02,
  EH_UDATA4 = 0x03,
  EH_UDATA8 = 0x04,
  EH_SLEB128 = 0x09,
  EH_SDATA2 = 0x0a,
  EH_SDATA4 = 0x0b,
  EH_SDATA8 = 0x0c,
  EH_FORMAT = 0x0f,
  EH_PCREL = 0x10,
  EH_DATAREL = 0x30,
  EH_ORIGIN = 0x70,
  EH_INDIRECT = 0x80,
  EH_OMIT = 0xff
};

/* The bytes left to read. A read past end sets bad and gives 0. */
struct gp_dwarf_reader
{
  uintptr_t at, end;
  bool bad;
};

static inline uint64_t
gp_read_fixed (struct gp_dwarf_reader *reader, unsigned bytes)
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

/* Digits beyond 64 bits are dropped; the reader's end bounds the length. */
static inline uint64_t
gp_read_uleb (struct gp_dwarf_reader *reader)
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

static inline int64_t
gp_read_sleb (struct gp_dwarf_reader *reader)
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

/* A pointer in one of the encodings EH_*, as a number without its origin. */
static inline uintptr_t
gp_read_format (struct gp_dwarf_reader *reader, uint8_t encoding)
{
  switch (encoding & EH_FORMAT) {
    case EH_ABSPTR:
    case EH_UDATA8:
    case EH_SDATA8:
      return gp_read_fixed (reader, 8);
    case EH_ULEB128:
      return gp_read_uleb (reader);
    case EH_SLEB128:
      return (uintptr_t) gp_read_sleb (reader);
    case EH_UDATA2:
      return gp_read_fixed (reader, 2);
    case EH_SDATA2:
      return (uintptr_t) (int64_t) (int16_t) gp_read_fixed (reader, 2);
    case EH_UDATA4:
      return gp_read_fixed (reader, 4);
    case EH_SDATA4:
      return (uintptr_t) (int64_t) (int32_t) gp_read_fixed (reader, 4);
    default:
      reader->bad = true;
      return 0;
  }
}

/* The same with its origin; data_base is what DW_EH_PE_datarel counts from. */
static inline uintptr_t
gp_read_encoded (struct gp_dwarf_reader *reader, uint8_t encoding, uintptr_t data_base)
{
  uintptr_t origin = reader->at, value = gp_read_format (reader, encoding);
  switch (encoding & EH_ORIGIN) {
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

#endif
