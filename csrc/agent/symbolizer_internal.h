/* SPDX-License-Identifier: MIT */
/* symbolizer_internal.h: the parts of one open ELF file that the symbolizer's files share.
 *
 * Context: agent.
 */
#ifndef GP_SYMBOLIZER_INTERNAL_H
#define GP_SYMBOLIZER_INTERNAL_H

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/symbolizer.h"
#include "shared/eh_frame.h"

/* Where distributions keep debug files. Tests put another place here. */
#ifndef GP_DEBUG_ROOT
#define GP_DEBUG_ROOT "/usr/lib/debug"
#endif

#define GP_INTERNAL __attribute__ ((visibility ("hidden")))

/* A range of code, [start, end). */
struct gp_range
{
  uint64_t start;
  uint64_t end;
};

/* A named function. Names live in libelf's mapping of the file. */
struct gp_function
{
  struct gp_range range;
  uint64_t reach; /* the greatest end of this function and all before it */
  const char *name;
  bool sized;      /* false: its end is where its section or the next symbol begins */
  uint8_t binding; /* STB_* */
};

/* The file's .eh_frame_hdr and .eh_frame, in libelf's mapping of the segment that holds them. */
struct gp_fde_table
{
  struct gp_eh_frame_table frames;
  uintptr_t shift; /* address in the mapping minus ELF address */
  bool usable;     /* false: the file has no table that we can read */
};

/* Places that look like beginnings of functions, with duplicates. */
struct gp_entries
{
  struct gp_range code;
  uint64_t alignment;
  uint64_t *rows; /* sorted */
  size_t count;
  size_t capacity;
  bool is_read;
};

/* A DIE with code of its own, in .debug_info. */
struct gp_die_range
{
  struct gp_range range;
  Dwarf_Off die;
};

struct gp_die_ranges
{
  struct gp_die_range *rows; /* by start */
  size_t count;
  size_t capacity;
};

/* Functions of one compilation unit, found at its first use. */
struct gp_unit
{
  Dwarf_Off die;
  struct gp_die_ranges functions;
  struct gp_unit *next;
};

struct gp_elf_file
{
  Dwfl *dwfl;
  Dwfl_Module *module;
  char *path; /* the lookup of debug files also starts there */
  struct gp_function *functions;
  size_t function_count;
  struct gp_fde_table fdes;
  struct gp_entries entries;
  bool functions_read;
  bool has_locals; /* there are symbols of static functions, not of exported ones only */
  bool dwarf_tried;
  bool inflates_known;
  uint64_t inflates; /* see gp_elf_inflates() */
  Dwarf *dwarf;      /* NULL: none */
  Dwarf_Addr dwarf_bias;
  struct gp_die_ranges units; /* for units that .debug_aranges leaves out */
  bool units_read;
  struct gp_unit *unit_list;
};

/* symbolizer_files.c: opens files. */
GP_INTERNAL int gp_files_open_vdso (void);
GP_INTERNAL int gp_files_find_debuginfo (Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
    const char *file_name, const char *debuglink, GElf_Word crc, char **debuginfo_name);

/* symbolizer_fde.c: the code that an FDE covers. False: none covers the address; then *range is the gap around it, as
 * far as known. */
GP_INTERNAL void gp_fde_open (struct gp_fde_table *table, Elf *elf);
GP_INTERNAL bool gp_fde_find (const struct gp_fde_table *table, uint64_t address, struct gp_range *range);

/* symbolizer_functions.c. find: the symbol of the address's function, NULL if none is known to be; known is the range
 * of gp_fde_find(). start: for an address without a symbol, the last place that looks like the beginning of a function;
 * gap_start if there is none. */
GP_INTERNAL const struct gp_function *gp_functions_find (
    struct gp_elf_file *elf, uint64_t address, const struct gp_range *known);
GP_INTERNAL uint64_t gp_functions_start (struct gp_elf_file *elf, uint64_t address, uint64_t gap_start);

/* symbolizer_starts.c. find: the last entry at or before the address, or least if that is greater. */
GP_INTERNAL void gp_entries_read (struct gp_entries *entries, Elf *file);
GP_INTERNAL uint64_t gp_entries_find (const struct gp_entries *entries, uint64_t address, uint64_t least);

/* symbolizer_dwarf.c: fills frames with names, lines and inlined calls; leaves out->count at 0 if nothing is known. */
GP_INTERNAL void gp_dwarf_lookup (struct gp_elf_file *elf, uint64_t address, struct gp_symbols *out);
GP_INTERNAL void gp_dwarf_close (struct gp_elf_file *elf);

#endif
