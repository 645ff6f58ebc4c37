/* SPDX-License-Identifier: MIT */
/* eh_frame.h: finds the FDE of an address by the table in .eh_frame_hdr, and reads it and its CIE (LSB Core 5.0, 10.6).
 *
 * The shim reads what the loader has mapped, the agent a segment of a file. Neither trusts it: every read stays within
 * the segment that holds the table. All addresses are those of the bytes as they lie in memory here. In the agent they
 * differ by a constant from the file's addresses, and a pointer that is not relative (EH_ABSPTR) keeps the file's. So
 * the agent relies on rows of the table, which are relative, and on an FDE's length.
 *
 * Context: signal, agent. Calls nothing of libc. All functions MT-Safe | AS-Safe
 */
#ifndef GP_EH_FRAME_H
#define GP_EH_FRAME_H

#include "shared/dwarf_reader.h"

enum
{
  GP_EH_FRAME_ROW_BYTES = 8 /* two sdata4, relative to .eh_frame_hdr: the function's start, its FDE */
};

/* The sorted table of an .eh_frame_hdr. */
struct gp_eh_frame_table
{
  uintptr_t lo, hi; /* the segment that holds .eh_frame_hdr and .eh_frame */
  uintptr_t hdr;    /* .eh_frame_hdr */
  uintptr_t rows;
  uint64_t count; /* of rows; at least 1 */
};

/* What an FDE and its CIE say of a function. */
struct gp_fde
{
  uintptr_t start, end;                    /* of the function's code */
  struct gp_dwarf_reader initial, program; /* instructions of the CIE, of the FDE */
  uintptr_t lo, hi;                        /* the segment that holds it all */
  uint64_t code_align;
  int64_t data_align;
  uint64_t ra_column;
  uint8_t encoding; /* of addresses: EH_* */
  bool signal;      /* the kernel made the frame: its caller's pc is exact */
};

/* Reads the header at hdr, which lies in the segment [lo, hi). False: there is no table that can be searched. */
static inline bool
gp_eh_frame_open (struct gp_eh_frame_table *table, uintptr_t lo, uintptr_t hi, uintptr_t hdr)
{
  struct gp_dwarf_reader reader = { .at = hdr, .end = hi };
  if (hdr < lo || gp_read_fixed (&reader, 1) != 1)
    return false;
  uint8_t frame_encoding = (uint8_t) gp_read_fixed (&reader, 1);
  uint8_t count_encoding = (uint8_t) gp_read_fixed (&reader, 1);
  uint8_t table_encoding = (uint8_t) gp_read_fixed (&reader, 1);
  if (frame_encoding == EH_OMIT || count_encoding == EH_OMIT || table_encoding != (EH_DATAREL | EH_SDATA4))
    return false;
  gp_read_encoded (&reader, frame_encoding, hdr);
  table->count = gp_read_encoded (&reader, count_encoding, hdr);
  table->lo = lo;
  table->hi = hi;
  table->hdr = hdr;
  table->rows = reader.at;
  return !reader.bad && table->count != 0 && table->count <= (hi - reader.at) / GP_EH_FRAME_ROW_BYTES;
}

/* One word of row index, which must be below count, as it is relative to hdr. */
static inline intptr_t
gp_eh_frame_word (const struct gp_eh_frame_table *table, uint64_t index, unsigned column)
{
  int32_t word;
  __builtin_memcpy (&word, (const void *) (table->rows + index * GP_EH_FRAME_ROW_BYTES + column * sizeof word),
      sizeof word); /* one instruction, aligned or not */
  return word;
}

/* Where the function of row index starts. */
static inline uintptr_t
gp_eh_frame_start (const struct gp_eh_frame_table *table, uint64_t index)
{
  return table->hdr + (uintptr_t) gp_eh_frame_word (table, index, 0);
}

/* The last row that starts at or below pc, or row 0. Not by interpolation: functions are spread too unevenly, it saves
 * a tenth of the probes in libx264. */
static inline uint64_t
gp_eh_frame_search (const struct gp_eh_frame_table *table, uintptr_t pc)
{
  intptr_t wanted = (intptr_t) (pc - table->hdr);
  uint64_t low = 0, high = table->count;
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    if (gp_eh_frame_word (table, middle, 0) <= wanted)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Narrows reader to the CIE or FDE at its place; false at the section's end mark or where it leaves the segment. */
static inline bool
gp_eh_frame_entry (struct gp_dwarf_reader *reader)
{
  uint64_t length = gp_read_fixed (reader, 4);
  if (length == 0xffffffff)
    length = gp_read_fixed (reader, 8);
  if (reader->bad || length == 0 || length > reader->end - reader->at)
    return false;
  reader->end = reader->at + length;
  return true;
}

/* Reads a CIE. augmented: its FDEs have augmentation data. */
static inline bool
gp_eh_frame_cie (struct gp_dwarf_reader reader, struct gp_fde *fde, bool *augmented)
{
  if (!gp_eh_frame_entry (&reader) || gp_read_fixed (&reader, 4) != 0)
    return false;
  uint64_t version = gp_read_fixed (&reader, 1);
  if (version != 1 && version != 3)
    return false;
  struct gp_dwarf_reader augmentation = reader;
  while (gp_read_fixed (&reader, 1) != 0)
    continue;
  fde->code_align = gp_read_uleb (&reader);
  fde->data_align = gp_read_sleb (&reader);
  fde->ra_column = version == 1 ? gp_read_fixed (&reader, 1) : gp_read_uleb (&reader);
  fde->encoding = EH_ABSPTR;
  fde->signal = false;
  char letter = (char) gp_read_fixed (&augmentation, 1);
  *augmented = letter == 'z';
  if (*augmented) {
    uint64_t length = gp_read_uleb (&reader);
    if (reader.bad || length > reader.end - reader.at)
      return false;
    uintptr_t behind = reader.at + length;
    while ((letter = (char) gp_read_fixed (&augmentation, 1)) != 0) {
      if (letter == 'R') {
        fde->encoding = (uint8_t) gp_read_fixed (&reader, 1);
      } else if (letter == 'P') {
        uint8_t encoding = (uint8_t) gp_read_fixed (&reader, 1);
        gp_read_format (&reader, encoding);
      } else if (letter == 'L') {
        gp_read_fixed (&reader, 1);
      } else if (letter == 'S') {
        fde->signal = true;
      } else if (letter != 'B' && letter != 'G') { /* aarch64: signed with the B key; MTE tagged */
        break;                                     /* what follows cannot be read, but 'z' gives its end */
      }
    }
    reader.at = behind;
  } else if (letter != 0) {
    return false;
  }
  fde->initial = reader;
  return !reader.bad && reader.at <= reader.end;
}

/* Reads the FDE of row index, which must be below count, and its CIE. False: one of them is damaged. */
static inline bool
gp_eh_frame_read (const struct gp_eh_frame_table *table, uint64_t index, struct gp_fde *fde)
{
  uintptr_t at = table->hdr + (uintptr_t) gp_eh_frame_word (table, index, 1);
  struct gp_dwarf_reader reader = { .at = at, .end = table->hi };
  if (at < table->lo || at >= table->hi || !gp_eh_frame_entry (&reader))
    return false;
  uintptr_t pointer = reader.at;
  uint64_t back = gp_read_fixed (&reader, 4);
  if (reader.bad || back == 0 || back > pointer - table->lo)
    return false;
  struct gp_dwarf_reader cie = { .at = pointer - back, .end = table->hi };
  bool augmented;
  if (!gp_eh_frame_cie (cie, fde, &augmented))
    return false;
  fde->start = gp_read_encoded (&reader, fde->encoding, table->hdr);
  fde->end = fde->start + gp_read_format (&reader, fde->encoding);
  if (augmented) {
    uint64_t length = gp_read_uleb (&reader);
    if (reader.bad || length > reader.end - reader.at)
      return false;
    reader.at += length;
  }
  fde->program = reader;
  fde->lo = table->lo;
  fde->hi = table->hi;
  return !reader.bad && (fde->encoding & EH_INDIRECT) == 0;
}

#endif
