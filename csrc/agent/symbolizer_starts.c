/* SPDX-License-Identifier: MIT */
/* symbolizer_starts.c: finds the beginnings of functions without symbol and CFI: hand-written assembly in stripped
 * files.
 *
 * Such a function's address occurs elsewhere: in code that takes it relative to the pc, in a call, or in a table of
 * pointers that the loader relocates. If one of these points to an aligned place in code, a function is taken to begin
 * there. Without this all of x264's assembly, more than half of its CPU time, would be one function.
 *
 * Context: agent.
 */
#include <stdlib.h>
#include <string.h>
#include "agent/symbolizer_internal.h"

enum
{
  ALIGNMENT = 16, /* of functions in x86inc.asm, which x264, x265, dav1d and FFmpeg share */
  LEA = 0x8d,
  CALL = 0xe8,
  A64_ALIGNMENT = 4,  /* of functions in their asm.S for aarch64: that of an instruction */
  A64_PAIR_WORDS = 8, /* adrp and add that are farther apart do not belong together */
  A64_REGISTERS = 32
};

static void
add_entry (struct gp_entries *entries, uint64_t address)
{
  if (address % entries->alignment != 0 || address < entries->code.start || address >= entries->code.end)
    return;
  if (entries->count == entries->capacity) {
    size_t capacity = entries->capacity ? entries->capacity * 2 : 1024;
    uint64_t *rows = realloc (entries->rows, capacity * sizeof *rows);
    if (rows == NULL)
      return;
    entries->rows = rows;
    entries->capacity = capacity;
  }
  entries->rows[entries->count++] = address;
}

/* Instructions are not decoded: the pattern is tried at each byte. A false hit counts only if it points to an aligned
 * place in code. */
static void
read_code (struct gp_entries *entries, const uint8_t *bytes, size_t length, uint64_t address)
{
  for (size_t i = 1; i + 6 <= length; i++) {
    int32_t offset;
    size_t next = 0;
    if (bytes[i] == CALL)
      next = i + 5;
    else if (bytes[i] == LEA && (bytes[i - 1] & 0xf8) == 0x48 && (bytes[i + 1] & 0xc7) == 0x05)
      next = i + 6;
    if (next == 0)
      continue;
    memcpy (&offset, bytes + next - 4, 4);
    add_entry (entries, address + next + (uint64_t) (int64_t) offset);
  }
}

/* A64: targets of bl, and addresses made by adrp and add. The file and this machine are both little-endian. */
static void
read_code_a64 (struct gp_entries *entries, const uint8_t *bytes, size_t length, uint64_t address)
{
  uint64_t pages[A64_REGISTERS] = { 0 };
  size_t set_at[A64_REGISTERS] = { 0 }; /* counted from 1; 0: never */
  for (size_t i = 0; i < length / 4; i++) {
    uint32_t word;
    memcpy (&word, bytes + 4 * i, 4);
    uint64_t pc = address + 4 * i;
    unsigned to = word & 31, from = word >> 5 & 31;
    if ((word & 0xfc000000) == 0x94000000) { /* bl */
      add_entry (entries, pc + (uint64_t) ((int64_t) ((uint64_t) word << 38) >> 36));
    } else if ((word & 0x9f000000) == 0x90000000) { /* adrp */
      uint64_t page = (uint64_t) (word >> 5 & 0x7ffff) << 2 | (word >> 29 & 3);
      pages[to] = (pc & ~(uint64_t) 4095) + (uint64_t) ((int64_t) (page << 43) >> 31);
      set_at[to] = i + 1;
    } else if ((word & 0xffc00000) == 0x91000000 && set_at[from] != 0 && i < set_at[from] + A64_PAIR_WORDS) { /* add */
      add_entry (entries, pages[from] + (word >> 10 & 0xfff));
    }
  }
}

static void
read_relocations (struct gp_entries *entries, Elf_Data *data, size_t entry_bytes, int machine)
{
  unsigned relative = machine == EM_X86_64 ? R_X86_64_RELATIVE : R_AARCH64_RELATIVE;
  for (size_t i = 0; entry_bytes != 0 && i < data->d_size / entry_bytes; i++) {
    GElf_Rela row;
    if (gelf_getrela (data, (int) i, &row) != NULL && GELF_R_TYPE (row.r_info) == relative)
      add_entry (entries, (uint64_t) row.r_addend);
  }
}

static int
by_address (const void *a, const void *b)
{
  uint64_t left = *(const uint64_t *) a;
  uint64_t right = *(const uint64_t *) b;
  return (left > right) - (left < right);
}

void
gp_entries_read (struct gp_entries *entries, Elf *file)
{
  GElf_Ehdr header;
  GElf_Shdr shape;
  Elf_Scn *section = NULL;
  entries->is_read = true;
  if (file == NULL || gelf_getehdr (file, &header) == NULL)
    return;
  entries->alignment = header.e_machine == EM_AARCH64 ? A64_ALIGNMENT : ALIGNMENT;
  entries->code.start = UINT64_MAX;
  while ((section = elf_nextscn (file, section)) != NULL)
    if (gelf_getshdr (section, &shape) != NULL && (shape.sh_flags & SHF_EXECINSTR)) {
      if (shape.sh_addr < entries->code.start)
        entries->code.start = shape.sh_addr;
      if (shape.sh_addr + shape.sh_size > entries->code.end)
        entries->code.end = shape.sh_addr + shape.sh_size;
    }
  while ((section = elf_nextscn (file, section)) != NULL) {
    Elf_Data *data;
    if (gelf_getshdr (section, &shape) == NULL || shape.sh_type == SHT_NOBITS
        || (data = elf_getdata (section, NULL)) == NULL || data->d_buf == NULL)
      continue;
    if (shape.sh_type == SHT_RELA)
      read_relocations (entries, data, shape.sh_entsize, header.e_machine);
    else if ((shape.sh_flags & SHF_EXECINSTR) && header.e_machine == EM_X86_64)
      read_code (entries, data->d_buf, data->d_size, shape.sh_addr);
    else if ((shape.sh_flags & SHF_EXECINSTR) && header.e_machine == EM_AARCH64)
      read_code_a64 (entries, data->d_buf, data->d_size, shape.sh_addr);
  }
  if (entries->count > 1)
    qsort (entries->rows, entries->count, sizeof *entries->rows, by_address);
}

uint64_t
gp_entries_find (const struct gp_entries *entries, uint64_t address, uint64_t least)
{
  size_t low = 0;
  size_t high = entries->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (entries->rows[middle] <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low > 0 && entries->rows[low - 1] > least ? entries->rows[low - 1] : least;
}
