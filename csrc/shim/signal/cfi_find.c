/* SPDX-License-Identifier: MIT */
/* cfi_find.c: from a pc to its FDE, by binary search in .eh_frame_hdr, in place.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi_find.h"
#include "shim/signal/dwarf_codes.h"

enum
{
  TABLE_ENTRY = 8 /* two sdata4 */
};

/* Narrows reader to the CIE or FDE at its place; false at the section's end mark or where it leaves the segment. */
static bool
open_entry (struct gp_reader *reader)
{
  uint64_t length = gp_read_fixed (reader, 4);
  if (length == 0xffffffff)
    length = gp_read_fixed (reader, 8);
  if (reader->bad || length == 0 || length > reader->end - reader->at)
    return false;
  reader->end = reader->at + length;
  return true;
}

static bool
read_cie (struct gp_reader reader, struct gp_fde *fde, bool *augmented)
{
  if (!open_entry (&reader) || gp_read_fixed (&reader, 4) != 0)
    return false;
  uint64_t version = gp_read_fixed (&reader, 1);
  if (version != 1 && version != 3)
    return false;
  struct gp_reader augmentation = reader;
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
        gp_read_encoded (&reader, encoding & 0x0f, 0);
      } else if (letter == 'L') {
        gp_read_fixed (&reader, 1);
      } else if (letter == 'S') {
        fde->signal = true;
      } else if (letter != 'B' && letter != 'G') { /* aarch64: signed with the B key; MTE tagged */
        break;                                     /* what follows cannot be read, but 'z' tells where it ends */
      }
    }
    reader.at = behind;
  } else if (letter != 0) {
    return false;
  }
  fde->initial = reader;
  return !reader.bad && reader.at <= reader.end;
}

static bool
read_fde (uintptr_t at, const struct gp_code *code, struct gp_fde *fde)
{
  struct gp_reader reader = { .at = at, .end = code->hi };
  if (at < code->lo || at >= code->hi || !open_entry (&reader))
    return false;
  uintptr_t pointer = reader.at;
  uint64_t back = gp_read_fixed (&reader, 4);
  if (reader.bad || back == 0 || back > pointer - code->lo)
    return false;
  struct gp_reader cie = { .at = pointer - back, .end = code->hi };
  bool augmented;
  if (!read_cie (cie, fde, &augmented))
    return false;
  fde->start = gp_read_encoded (&reader, fde->encoding, code->hdr);
  fde->end = fde->start + gp_read_encoded (&reader, fde->encoding & 0x0f, 0);
  if (augmented) {
    uint64_t length = gp_read_uleb (&reader);
    if (reader.bad || length > reader.end - reader.at)
      return false;
    reader.at += length;
  }
  fde->program = reader;
  fde->base = code->lo;
  fde->limit = code->hi;
  return !reader.bad && (fde->encoding & EH_INDIRECT) == 0;
}

/* The binary search's table: count entries from at on. */
static bool
open_table (const struct gp_code *code, struct gp_reader *reader, uint64_t *count)
{
  *reader = (struct gp_reader) { .at = code->hdr, .end = code->hi };
  if (code->hdr < code->lo || gp_read_fixed (reader, 1) != 1)
    return false;
  uint8_t frame_encoding = (uint8_t) gp_read_fixed (reader, 1);
  uint8_t count_encoding = (uint8_t) gp_read_fixed (reader, 1);
  uint8_t table_encoding = (uint8_t) gp_read_fixed (reader, 1);
  if (frame_encoding == EH_OMIT || count_encoding == EH_OMIT || table_encoding != (EH_DATAREL | EH_SDATA4))
    return false;
  gp_read_encoded (reader, frame_encoding, code->hdr);
  *count = gp_read_encoded (reader, count_encoding, code->hdr);
  return !reader->bad && *count != 0 && *count <= (reader->end - reader->at) / TABLE_ENTRY;
}

/* Column 0: where the function starts; 1: where its FDE is. */
static uintptr_t
table_entry (const struct gp_code *code, const struct gp_reader *table, uint64_t index, unsigned column)
{
  struct gp_reader entry = { .at = table->at + index * TABLE_ENTRY + 4 * column, .end = table->end };
  return code->hdr + (uintptr_t) (int64_t) (int32_t) gp_read_fixed (&entry, 4);
}

/* The index of the last entry that starts at or below pc, or 0. Not by interpolation: functions are spread too
 * unevenly, it saves a tenth of the probes in libx264. */
static uint64_t
search (const struct gp_code *code, const struct gp_reader *table, uint64_t count, uintptr_t pc)
{
  uint64_t low = 0, high = count;
  while (high - low > 1) {
    uint64_t middle = low + (high - low) / 2;
    if (table_entry (code, table, middle, 0) <= pc)
      low = middle;
    else
      high = middle;
  }
  return low;
}

bool
gp_cfi_find (uintptr_t pc, const struct gp_code *code, struct gp_fde *fde)
{
  struct gp_reader table;
  uint64_t count;
  fde->start = fde->end = 0;
  if (!open_table (code, &table, &count))
    return false;
  uint64_t low = search (code, &table, count, pc);
  if (!read_fde (table_entry (code, &table, low, 1), code, fde)) {
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
    fde->end = low + 1 < count ? table_entry (code, &table, low + 1, 0) : code->end;
  }
  return false;
}
