/* SPDX-License-Identifier: MIT */
/* symbolizer_fde.c: where a function without a name begins and ends, from .eh_frame_hdr and .eh_frame.
 *
 * Every access is checked against the bounds of the segment that holds both: files are not trusted.
 * Format: LSB Core 5.0, "Exception Frames".
 *
 * Context: agent.
 */
#include <gelf.h>
#include <string.h>
#include "agent/symbolizer_internal.h"

enum
{
  HEADER_BYTES = 12, /* version, three encodings, eh_frame pointer (4 bytes), count (4 bytes) */
  ROW_BYTES = 8,
  ENCODING_UDATA4 = 0x03,
  ENCODING_DATAREL_SDATA4 = 0x3b
};

struct cursor
{
  const struct gp_fde_table *table;
  uint64_t at; /* address */
  bool failed;
};

static uint64_t
take (struct cursor *cursor, unsigned bytes)
{
  const struct gp_fde_table *table = cursor->table;
  uint64_t value = 0;
  uint64_t offset = cursor->at - table->address;
  if (cursor->failed || cursor->at < table->address || offset > table->length || table->length - offset < bytes) {
    cursor->failed = true;
    return 0;
  }
  /* Both architectures are little-endian. */
  memcpy (&value, table->bytes + offset, bytes);
  cursor->at += bytes;
  return value;
}

static uint64_t
take_leb (struct cursor *cursor)
{
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint64_t byte = take (cursor, 1);
    value |= (byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return value;
  }
  cursor->failed = true;
  return 0;
}

/* Bytes of a pointer in a DW_EH_PE_* format; 0: none that has a fixed size. */
static unsigned
pointer_bytes (uint64_t encoding)
{
  switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c:
      return 8;
    case 0x02:
    case 0x0a:
      return 2;
    case 0x03:
    case 0x0b:
      return 4;
    default:
      return 0;
  }
}

/* Size of the pointers in the FDEs of the CIE at this address; 0 where it cannot be told. */
static unsigned
cie_pointer_bytes (const struct gp_fde_table *table, uint64_t address)
{
  struct cursor cursor = { .table = table, .at = address };
  char augmentation[8];
  if (take (&cursor, 4) == UINT32_MAX || take (&cursor, 4) != 0)
    return 0;
  uint64_t version = take (&cursor, 1);
  size_t length = 0;
  do {
    augmentation[length] = (char) take (&cursor, 1);
  } while (augmentation[length] != 0 && !cursor.failed && ++length < sizeof augmentation);
  if (cursor.failed || length == sizeof augmentation)
    return 0;
  take_leb (&cursor); /* code alignment */
  take_leb (&cursor); /* data alignment */
  if (version == 1)
    take (&cursor, 1);
  else
    take_leb (&cursor); /* return address column */
  if (augmentation[0] != 'z')
    return augmentation[0] == 0 && !cursor.failed ? 8 : 0;
  take_leb (&cursor); /* length of the augmentation data */
  for (size_t i = 1; augmentation[i] != 0; i++) {
    if (augmentation[i] == 'R') {
      unsigned bytes = pointer_bytes (take (&cursor, 1));
      return cursor.failed ? 0 : bytes;
    }
    if (augmentation[i] == 'P')
      take (&cursor, pointer_bytes (take (&cursor, 1)));
    else if (augmentation[i] == 'L')
      take (&cursor, 1);
    else if (augmentation[i] != 'S' && augmentation[i] != 'B')
      return 0;
  }
  return cursor.failed ? 0 : 8;
}

void
gp_fde_open (struct gp_fde_table *table, Elf *elf)
{
  GElf_Phdr header = { 0 };
  GElf_Phdr segment = { 0 };
  size_t count;
  memset (table, 0, sizeof *table);
  if (elf == NULL || elf_getphdrnum (elf, &count) != 0)
    return;
  for (size_t i = 0; i < count && header.p_type == PT_NULL; i++)
    if (gelf_getphdr (elf, (int) i, &header) == NULL || header.p_type != PT_GNU_EH_FRAME)
      header.p_type = PT_NULL;
  if (header.p_type == PT_NULL)
    return;
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr (elf, (int) i, &segment) != NULL && segment.p_type == PT_LOAD && header.p_vaddr >= segment.p_vaddr
        && header.p_vaddr - segment.p_vaddr < segment.p_filesz)
      break;
    else
      segment.p_type = PT_NULL;
  if (segment.p_type == PT_NULL)
    return;
  Elf_Data *data = elf_getdata_rawchunk (elf, (int64_t) segment.p_offset, segment.p_filesz, ELF_T_BYTE);
  if (data == NULL)
    return;
  table->bytes = data->d_buf;
  table->address = segment.p_vaddr;
  table->length = data->d_size;
  table->header = header.p_vaddr;
  struct cursor cursor = { .table = table, .at = header.p_vaddr };
  uint64_t head = take (&cursor, 4);
  take (&cursor, pointer_bytes (head >> 8));
  table->count = take (&cursor, 4);
  table->first = cursor.at;
  uint64_t room = table->address + table->length - table->first;
  if (cursor.failed || (head & 0xff) != 1 || pointer_bytes (head >> 8) == 0 || (head >> 16 & 0xff) != ENCODING_UDATA4
      || head >> 24 != ENCODING_DATAREL_SDATA4 || table->count > room / ROW_BYTES)
    table->bytes = NULL;
}

static void
read_row (const struct gp_fde_table *table, uint64_t index, uint64_t *start, uint64_t *fde)
{
  struct cursor cursor = { .table = table, .at = table->first + index * ROW_BYTES };
  *start = table->header + (uint64_t) (int32_t) take (&cursor, 4);
  *fde = table->header + (uint64_t) (int32_t) take (&cursor, 4);
}

/* Length of the code an FDE covers; 0 where it cannot be told. */
static uint64_t
fde_length (const struct gp_fde_table *table, uint64_t fde)
{
  struct cursor cursor = { .table = table, .at = fde };
  if (take (&cursor, 4) == UINT32_MAX)
    return 0;
  uint64_t pointer_at = cursor.at;
  uint64_t pointer = take (&cursor, 4);
  unsigned bytes = cursor.failed ? 0 : cie_pointer_bytes (table, pointer_at - pointer);
  if (bytes == 0)
    return 0;
  take (&cursor, bytes);
  uint64_t length = take (&cursor, bytes);
  return cursor.failed ? 0 : length;
}

bool
gp_fde_find (const struct gp_fde_table *table, uint64_t address, struct gp_range *range)
{
  range->start = 0;
  range->end = UINT64_MAX;
  if (table->bytes == NULL || table->count == 0)
    return false;
  uint64_t low = 0; /* rows below begin at or before the address, rows from high on behind it */
  uint64_t high = table->count;
  uint64_t start, fde;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    read_row (table, middle, &start, &fde);
    if (start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  if (low < table->count)
    read_row (table, low, &range->end, &fde);
  if (low == 0)
    return false;
  read_row (table, low - 1, &start, &fde);
  uint64_t length = fde_length (table, fde);
  if (address - start < length) {
    range->start = start;
    range->end = start + length;
    return true;
  }
  range->start = start + length;
  return false;
}
