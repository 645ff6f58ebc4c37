/* SPDX-License-Identifier: MIT */
/* symbolizer_fde.c: where a function without a name begins and ends, from .eh_frame_hdr and .eh_frame.
 *
 * shared/eh_frame.h reads both where libelf has mapped the file's segment. Only differences of addresses are taken from
 * it: rows of the table are relative to its header, and an FDE's length is relative to nothing.
 *
 * Context: agent.
 */
#include <gelf.h>
#include <string.h>
#include "agent/symbolizer_internal.h"

static bool
find_header (Elf *elf, size_t count, GElf_Phdr *header)
{
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr (elf, (int) i, header) != NULL && header->p_type == PT_GNU_EH_FRAME)
      return true;
  return false;
}

/* The loaded segment in whose bytes of the file the address lies. */
static bool
find_segment (Elf *elf, size_t count, uint64_t address, GElf_Phdr *segment)
{
  for (size_t i = 0; i < count; i++)
    if (gelf_getphdr (elf, (int) i, segment) != NULL && segment->p_type == PT_LOAD && address >= segment->p_vaddr
        && address - segment->p_vaddr < segment->p_filesz)
      return true;
  return false;
}

void
gp_fde_open (struct gp_fde_table *table, Elf *elf)
{
  GElf_Phdr header, segment;
  size_t count;
  memset (table, 0, sizeof *table);
  if (elf == NULL || elf_getphdrnum (elf, &count) != 0 || !find_header (elf, count, &header)
      || !find_segment (elf, count, header.p_vaddr, &segment))
    return;
  Elf_Data *data = elf_getdata_rawchunk (elf, (int64_t) segment.p_offset, segment.p_filesz, ELF_T_BYTE);
  if (data == NULL || data->d_buf == NULL)
    return;
  uintptr_t bytes = (uintptr_t) data->d_buf;
  table->shift = bytes - segment.p_vaddr;
  table->usable =
      gp_eh_frame_open (&table->frames, bytes, bytes + data->d_size, (uintptr_t) header.p_vaddr + table->shift);
}

bool
gp_fde_find (const struct gp_fde_table *table, uint64_t address, struct gp_range *range)
{
  const struct gp_eh_frame_table *frames = &table->frames;
  range->start = 0;
  range->end = UINT64_MAX;
  if (!table->usable)
    return false;
  uint64_t row = gp_eh_frame_search (frames, address + table->shift);
  uint64_t start = gp_eh_frame_start (frames, row) - table->shift;
  if (start > address) { /* before the first */
    range->end = start;
    return false;
  }
  struct gp_fde fde;
  uint64_t length = gp_eh_frame_read (frames, row, &fde) ? fde.end - fde.start : 0;
  range->start = address - start < length ? start : start + length;
  if (address - start < length)
    range->end = start + length;
  else if (row + 1 < frames->count)
    range->end = gp_eh_frame_start (frames, row + 1) - table->shift;
  return address - start < length;
}
