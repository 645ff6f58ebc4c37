/* SPDX-License-Identifier: MIT */
/* symbolizer_functions.c: a file's symbols, sorted, and the one whose code an address is in.
 *
 * dwfl_module_addrinfo() is not used: it reads all symbols at each call.
 *
 * Context: agent.
 */
#include <stdlib.h>
#include <string.h>
#include "agent/symbolizer_internal.h"

static size_t
underscores (const char *name)
{
  return strspn (name, "_");
}

/* By start. Of several at one address the name to be shown is last: with a size, global, without underscores, short. */
static int
by_start_and_rank (const void *a, const void *b)
{
  const struct gp_function *left = a;
  const struct gp_function *right = b;
  if (left->range.start != right->range.start)
    return left->range.start < right->range.start ? -1 : 1;
  if (left->sized != right->sized)
    return left->sized ? 1 : -1;
  bool left_local = left->binding == STB_LOCAL;
  bool right_local = right->binding == STB_LOCAL;
  if (left_local != right_local)
    return left_local ? -1 : 1;
  size_t left_under = underscores (left->name);
  size_t right_under = underscores (right->name);
  if (left_under != right_under)
    return left_under > right_under ? -1 : 1;
  size_t left_length = strlen (left->name);
  size_t right_length = strlen (right->name);
  if (left_length != right_length)
    return left_length > right_length ? -1 : 1;
  return strcmp (right->name, left->name);
}

/* Whether the symbol names a function. Labels inside hand-written functions ("foo.loop") and the marks of the ARM ABI
 * ("$x") do not. A function in assembly may have neither type nor size. */
static bool
names_code (const GElf_Sym *symbol, const char *name, GElf_Word section)
{
  int type = GELF_ST_TYPE (symbol->st_info);
  if (name == NULL || name[0] == 0 || name[0] == '$' || section == SHN_UNDEF)
    return false;
  if (type == STT_FUNC || type == STT_GNU_IFUNC)
    return true;
  return type == STT_NOTYPE && strchr (name, '.') == NULL;
}

/* The end of the executable section that holds the address; the address itself if none does.
 * dwfl_module_address_section() is not used: it reads the DWARF. */
static uint64_t
section_end (Elf *file, uint64_t address)
{
  Elf_Scn *section = NULL;
  GElf_Shdr header;
  while ((section = elf_nextscn (file, section)) != NULL)
    if (gelf_getshdr (section, &header) != NULL && (header.sh_flags & SHF_EXECINSTR) && address >= header.sh_addr
        && address - header.sh_addr < header.sh_size)
      return header.sh_addr + header.sh_size;
  return address;
}

static void
read_functions (struct gp_elf_file *elf)
{
  elf->functions_read = true;
  GElf_Addr bias;
  Elf *file = dwfl_module_getelf (elf->module, &bias);
  int count = dwfl_module_getsymtab (elf->module);
  if (count <= 0)
    return;
  elf->functions = calloc ((size_t) count, sizeof *elf->functions);
  if (elf->functions == NULL)
    return;
  for (int i = 1; i < count; i++) {
    GElf_Sym symbol;
    GElf_Addr start;
    GElf_Word section;
    const char *name = dwfl_module_getsym_info (elf->module, i, &symbol, &start, &section, NULL, NULL);
    if (!names_code (&symbol, name, section))
      continue;
    bool sized = symbol.st_size > 0;
    uint64_t end = sized ? start + symbol.st_size : section_end (file, start);
    if (GELF_ST_BIND (symbol.st_info) == STB_LOCAL)
      elf->has_locals = true;
    if (end > start)
      elf->functions[elf->function_count++] = (struct gp_function) {
        .range = { start, end }, .name = name, .sized = sized, .binding = (uint8_t) GELF_ST_BIND (symbol.st_info)
      };
  }
  qsort (elf->functions, elf->function_count, sizeof *elf->functions, by_start_and_rank);
  uint64_t reach = 0;
  for (size_t i = 0; i < elf->function_count; i++) {
    if (elf->functions[i].range.end > reach)
      reach = elf->functions[i].range.end;
    elf->functions[i].reach = reach;
  }
}

uint64_t
gp_functions_start (struct gp_elf_file *elf, uint64_t address, uint64_t gap_start)
{
  if (!elf->entries.is_read) {
    GElf_Addr bias;
    gp_entries_read (&elf->entries, dwfl_module_getelf (elf->module, &bias));
  }
  return gp_entries_find (&elf->entries, address, gap_start);
}

/* The innermost symbol with a size that holds the address. If there is none: the nearest symbol before it without a
 * size, unless a function is known to begin or end in between. Without local symbols most functions are missing, and an
 * exported routine of x264's assembly would name 200 KB of others. So other signs of a function's beginning count too.
 */
const struct gp_function *
gp_functions_find (struct gp_elf_file *elf, uint64_t address, const struct gp_range *known)
{
  if (!elf->functions_read)
    read_functions (elf);
  size_t low = 0;
  size_t high = elf->function_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (elf->functions[middle].range.start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  for (size_t i = low; i > 0 && elf->functions[i - 1].reach > address; i--) {
    const struct gp_function *function = &elf->functions[i - 1];
    if (function->sized && address < function->range.end)
      return function;
  }
  const struct gp_function *nearest = low > 0 ? &elf->functions[low - 1] : NULL;
  if (nearest != NULL && !nearest->sized && address < nearest->range.end && nearest->range.start >= known->start
      && (elf->has_locals || nearest->range.start >= gp_functions_start (elf, address, known->start)))
    return nearest;
  return NULL;
}
