/* SPDX-License-Identifier: MIT */
/* symbolizer_dwarf.c: source lines and inlined calls, where a file has DWARF.
 *
 * dwarf_getscopes() is not used: it does not search namespaces, where clang and rustc put their functions.
 * dwfl_module_addrdie() alone is not enough: in elfutils before 0.191 it finds only units that .debug_aranges lists,
 * which clang and rustc do not write.
 *
 * Context: agent.
 */
#include <dwarf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "agent/symbolizer_internal.h"

enum
{
  MAX_INFLATED_BYTES = 64 << 20,
  MAX_NESTING = 64 /* of namespaces, blocks and inlined calls */
};

static void
add_range (struct gp_die_ranges *ranges, uint64_t start, uint64_t end, Dwarf_Off die)
{
  if (ranges->count == ranges->capacity) {
    size_t capacity = ranges->capacity ? ranges->capacity * 2 : 64;
    struct gp_die_range *rows = realloc (ranges->rows, capacity * sizeof *rows);
    if (rows == NULL)
      return;
    ranges->rows = rows;
    ranges->capacity = capacity;
  }
  ranges->rows[ranges->count++] = (struct gp_die_range) { { start, end }, die };
}

static void
add_ranges_of (struct gp_die_ranges *ranges, Dwarf_Die *die)
{
  Dwarf_Addr base, start, end;
  ptrdiff_t offset = 0;
  while ((offset = dwarf_ranges (die, offset, &base, &start, &end)) > 0)
    if (start < end)
      add_range (ranges, start, end, dwarf_dieoffset (die));
}

static int
by_start (const void *a, const void *b)
{
  const struct gp_die_range *left = a;
  const struct gp_die_range *right = b;
  return (left->range.start > right->range.start) - (left->range.start < right->range.start);
}

static void
sort_ranges (struct gp_die_ranges *ranges)
{
  if (ranges->count > 1)
    qsort (ranges->rows, ranges->count, sizeof *ranges->rows, by_start);
}

/* The innermost DIE whose code holds the address. Ranges are nested or disjoint, so it is the last one that begins at
 * or before the address and has not ended. */
static bool
find_range (const struct gp_die_ranges *ranges, uint64_t address, Dwarf_Off *die)
{
  size_t low = 0;
  size_t high = ranges->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (ranges->rows[middle].range.start <= address)
      low = middle + 1;
    else
      high = middle;
  }
  for (size_t steps = 0; low > 0 && steps < MAX_NESTING; low--, steps++)
    if (address < ranges->rows[low - 1].range.end) {
      *die = ranges->rows[low - 1].die;
      return true;
    }
  return false;
}

static void
collect_functions (struct gp_die_ranges *functions, Dwarf_Die *parent, int nesting)
{
  Dwarf_Die child;
  if (nesting > MAX_NESTING || dwarf_child (parent, &child) != 0)
    return;
  do {
    switch (dwarf_tag (&child)) {
      case DW_TAG_subprogram:
        add_ranges_of (functions, &child);
        break;
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
        collect_functions (functions, &child, nesting + 1);
        break;
      default:
        break;
    }
  } while (dwarf_siblingof (&child, &child) == 0);
}

static bool
find_unit (struct gp_elf_file *elf, uint64_t address, Dwarf_Die *unit)
{
  Dwarf_Addr bias;
  Dwarf_Die *found = dwfl_module_addrdie (elf->module, address + elf->dwarf_bias, &bias);
  if (found != NULL) {
    *unit = *found;
    return true;
  }
  if (!elf->units_read) {
    elf->units_read = true;
    Dwarf_Off offset = 0, next;
    size_t header;
    while (dwarf_nextcu (elf->dwarf, offset, &next, &header, NULL, NULL, NULL) == 0) {
      Dwarf_Die die;
      if (dwarf_offdie (elf->dwarf, offset + header, &die) != NULL)
        add_ranges_of (&elf->units, &die);
      offset = next;
    }
    sort_ranges (&elf->units);
  }
  Dwarf_Off offset;
  return find_range (&elf->units, address, &offset) && dwarf_offdie (elf->dwarf, offset, unit) != NULL;
}

static struct gp_unit *
functions_of (struct gp_elf_file *elf, Dwarf_Die *die)
{
  Dwarf_Off offset = dwarf_dieoffset (die);
  for (struct gp_unit *unit = elf->unit_list; unit != NULL; unit = unit->next)
    if (unit->die == offset)
      return unit;
  struct gp_unit *unit = calloc (1, sizeof *unit);
  if (unit == NULL)
    return NULL;
  unit->die = offset;
  collect_functions (&unit->functions, die, 0);
  sort_ranges (&unit->functions);
  unit->next = elf->unit_list;
  elf->unit_list = unit;
  return unit;
}

static const char *
die_name (Dwarf_Die *die)
{
  Dwarf_Attribute attribute;
  if (dwarf_attr_integrate (die, DW_AT_linkage_name, &attribute) != NULL
      || dwarf_attr_integrate (die, DW_AT_MIPS_linkage_name, &attribute) != NULL) {
    const char *name = dwarf_formstring (&attribute);
    if (name != NULL)
      return name;
  }
  return dwarf_diename (die);
}

/* The function, and the calls inlined into it that hold the address, outermost first. */
static int
inlined_chain (Dwarf_Die *function, uint64_t address, Dwarf_Die chain[GP_SYMBOL_FRAMES])
{
  int count = 1;
  Dwarf_Die scope = *function;
  chain[0] = scope;
  for (int nesting = 0; nesting < MAX_NESTING && count < GP_SYMBOL_FRAMES; nesting++) {
    Dwarf_Die child;
    bool found = false;
    if (dwarf_child (&scope, &child) != 0)
      break;
    do {
      int tag = dwarf_tag (&child);
      if (tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block
          || tag == DW_TAG_catch_block)
        found = dwarf_haspc (&child, address) > 0;
    } while (!found && dwarf_siblingof (&child, &child) == 0);
    if (!found)
      break;
    if (dwarf_tag (&child) == DW_TAG_inlined_subroutine)
      chain[count++] = child;
    scope = child;
  }
  return count;
}

static void
call_site (Dwarf_Die *unit, Dwarf_Die *inlined, struct gp_symbol *caller)
{
  Dwarf_Attribute attribute;
  Dwarf_Word value;
  Dwarf_Files *files;
  if (dwarf_formudata (dwarf_attr (inlined, DW_AT_call_file, &attribute), &value) == 0
      && dwarf_getsrcfiles (unit, &files, NULL) == 0)
    caller->file = dwarf_filesrc (files, value, NULL, NULL);
  if (dwarf_formudata (dwarf_attr (inlined, DW_AT_call_line, &attribute), &value) == 0)
    caller->line = (uint32_t) value;
}

uint64_t
gp_elf_inflates (struct gp_elf_file *elf)
{
  const char *file_name = NULL;
  if (elf->dwarf_tried)
    return 0;
  if (elf->inflates_known)
    return elf->inflates;
  /* libdwfl finds the debug file when it reads symbols. */
  dwfl_module_getsymtab (elf->module);
  dwfl_module_info (elf->module, NULL, NULL, NULL, NULL, NULL, NULL, &file_name);
  int fd = open (file_name != NULL ? file_name : elf->path, O_RDONLY | O_CLOEXEC);
  Elf *file = fd >= 0 ? elf_begin (fd, ELF_C_READ_MMAP, NULL) : NULL;
  Elf_Scn *section = NULL;
  while (file != NULL && (section = elf_nextscn (file, section)) != NULL) {
    GElf_Chdr header;
    if (gelf_getchdr (section, &header) != NULL)
      elf->inflates += header.ch_size;
  }
  elf_end (file);
  if (fd >= 0)
    close (fd);
  elf->inflates_known = true;
  return elf->inflates;
}

void
gp_dwarf_lookup (struct gp_elf_file *elf, uint64_t address, struct gp_symbols *out)
{
  if (!elf->dwarf_tried) {
    bool fits = gp_elf_inflates (elf) <= MAX_INFLATED_BYTES; /* the agent may run in the host's process */
    elf->dwarf_tried = true;
    if (fits)
      elf->dwarf = dwfl_module_getdwarf (elf->module, &elf->dwarf_bias);
  }
  if (elf->dwarf == NULL)
    return;
  address -= elf->dwarf_bias;
  Dwarf_Die unit, function;
  Dwarf_Die chain[GP_SYMBOL_FRAMES];
  if (!find_unit (elf, address, &unit))
    return;
  struct gp_unit *known = functions_of (elf, &unit);
  Dwarf_Off offset;
  if (known == NULL || !find_range (&known->functions, address, &offset)
      || dwarf_offdie (elf->dwarf, offset, &function) == NULL)
    return;
  int count = inlined_chain (&function, address, chain);
  for (int i = 0; i < count; i++) {
    struct gp_symbol *frame = &out->frames[i];
    *frame = (struct gp_symbol) { .name = die_name (&chain[count - 1 - i]), .inlined = i < count - 1 };
    if (i > 0)
      call_site (&unit, &chain[count - i], frame);
  }
  Dwarf_Line *line = dwarf_getsrc_die (&unit, address);
  int number;
  if (line != NULL && dwarf_lineno (line, &number) == 0) {
    out->frames[0].file = dwarf_linesrc (line, NULL, NULL);
    out->frames[0].line = (uint32_t) number;
  }
  out->count = (uint32_t) count;
}

void
gp_dwarf_close (struct gp_elf_file *elf)
{
  while (elf->unit_list != NULL) {
    struct gp_unit *next = elf->unit_list->next;
    free (elf->unit_list->functions.rows);
    free (elf->unit_list);
    elf->unit_list = next;
  }
  free (elf->units.rows);
}
