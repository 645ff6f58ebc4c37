/* SPDX-License-Identifier: MIT */
/* symbolizer.c: opens ELF files, sorts their symbols, and puts names, starts, lines and inlined calls together.
 *
 * Not dwfl_module_addrinfo(): it goes through all symbols at each call.
 *
 * Context: agent.
 */
#define _GNU_SOURCE
#include "symbolizer.h"

#include <dlfcn.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "symbolizer_internal.h"

static char *g_debug_path = ":.debug:" GP_DEBUG_ROOT;

static const Dwfl_Callbacks g_callbacks = {
  .find_debuginfo = gp_files_find_debuginfo,
  .debuginfo_path = &g_debug_path,
};

/* "" and an unreadable build id match everything: then nothing is known against the file. */
static bool
is_build (Dwfl_Module *module, const char *wanted)
{
  const unsigned char *bits;
  GElf_Addr address;
  char hex[129];
  int bytes = dwfl_module_build_id (module, &bits, &address);
  if (wanted[0] == 0 || bytes <= 0)
    return wanted[0] == 0;
  if (bytes > (int) (sizeof hex - 1) / 2)
    return false;
  for (int i = 0; i < bytes; i++)
    snprintf (hex + i * 2, 3, "%02x", bits[i]);
  return strcmp (hex, wanted) == 0;
}

static uint32_t
open_module (struct gp_elf *elf, const char *path, const char *build_id)
{
  bool vdso = strcmp (path, "[vdso]") == 0;
  int fd = vdso ? gp_files_open_vdso () : open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return GP_ELF_GONE;
  elf->path = strdup (path);
  elf->dwfl = dwfl_begin (&g_callbacks);
  if (elf->dwfl != NULL && elf->path != NULL) {
    dwfl_report_begin (elf->dwfl);
    elf->module = dwfl_report_elf (elf->dwfl, elf->path, elf->path, fd, 0, true);
    dwfl_report_end (elf->dwfl, NULL, NULL);
  }
  /* libdwfl dups or keeps it only on success. */
  if (elf->module == NULL) {
    close (fd);
    return GP_ELF_BROKEN;
  }
  GElf_Addr bias;
  Elf *file = dwfl_module_getelf (elf->module, &bias);
  if (file == NULL)
    return GP_ELF_BROKEN;
  if (!vdso && !is_build (elf->module, build_id))
    return GP_ELF_CHANGED;
  gp_fde_open (&elf->fdes, file);
  return GP_ELF_OK;
}

struct gp_elf *
gp_elf_open (const char *path, const char *build_id, uint32_t *status)
{
  struct gp_elf *elf = calloc (1, sizeof *elf);
  *status = elf != NULL ? open_module (elf, path, build_id) : GP_ELF_BROKEN;
  if (*status == GP_ELF_OK)
    return elf;
  gp_elf_close (elf);
  return NULL;
}

void
gp_elf_close (struct gp_elf *elf)
{
  if (elf == NULL)
    return;
  gp_dwarf_close (elf);
  if (elf->dwfl != NULL)
    dwfl_end (elf->dwfl);
  free (elf->functions);
  free (elf->entries.rows);
  free (elf->path);
  free (elf);
}

static size_t
underscores (const char *name)
{
  return strspn (name, "_");
}

/* By start; at one address the name that should be shown last: with a size, global, public-looking, short. */
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

/* Whether it names code. Labels inside hand-written functions ("foo.loop") and the marks of the ARM ABI ("$x") do not;
 * an assembler's functions may have neither type nor size. */
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

/* End of the executable section at the address, or the address where it is in none. Not
 * dwfl_module_address_section(): that reads the DWARF. */
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
read_functions (struct gp_elf *elf)
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

static uint64_t
start_in_gap (struct gp_elf *elf, uint64_t address, uint64_t gap_start)
{
  if (!elf->entries.is_read) {
    GElf_Addr bias;
    gp_entries_read (&elf->entries, dwfl_module_getelf (elf->module, &bias));
  }
  return gp_entries_find (&elf->entries, address, gap_start);
}

/* The innermost symbol with a size around the address; else the nearest one before it without a size, unless a function
 * is known to begin or end in between. Without local symbols most functions are missing, and an exported routine of
 * x264's assembly would name 200 KB of others: then other signs of a function's beginning count too. */
static const struct gp_function *
find_function (struct gp_elf *elf, uint64_t address, const struct gp_range *known)
{
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
      && (elf->has_locals || nearest->range.start >= start_in_gap (elf, address, known->start)))
    return nearest;
  return NULL;
}

void
gp_elf_lookup (struct gp_elf *elf, uint64_t address, int symbols_only, struct gp_symbols *out)
{
  struct gp_range range;
  out->count = 0;
  if (!symbols_only)
    gp_dwarf_lookup (elf, address, out);
  if (!elf->functions_read)
    read_functions (elf);
  bool has_fde = gp_fde_find (&elf->fdes, address, &range);
  const struct gp_function *function = find_function (elf, address, &range);
  if (out->count == 0) {
    out->count = 1;
    memset (&out->frames[0], 0, sizeof out->frames[0]);
  }
  struct gp_symbol *outermost = &out->frames[out->count - 1];
  /* The symbol's name first, so that a function is called the same with and without debug files. */
  if (function != NULL)
    outermost->name = function->name;
  out->start = address;
  if (has_fde)
    out->start = range.start;
  else if (function != NULL)
    out->start = function->range.start;
  else if (range.start != 0)
    out->start = start_in_gap (elf, address, range.start);
}

int
gp_elf_lacks_debug_file (struct gp_elf *elf)
{
  const char *debug_file = NULL;
  GElf_Addr bias;
  GElf_Ehdr header;
  Elf *file = dwfl_module_getelf (elf->module, &bias);
  size_t names;
  if (file == NULL || gelf_getehdr (file, &header) == NULL || elf_getshdrstrndx (file, &names) != 0)
    return 0;
  dwfl_module_info (elf->module, NULL, NULL, NULL, NULL, NULL, NULL, &debug_file);
  if (debug_file != NULL)
    return 0;
  Elf_Scn *section = NULL;
  GElf_Shdr shape;
  while ((section = elf_nextscn (file, section)) != NULL) {
    const char *name = gelf_getshdr (section, &shape) != NULL ? elf_strptr (file, names, shape.sh_name) : NULL;
    if (name != NULL && strcmp (name, ".debug_info") == 0)
      return 0;
  }
  return 1;
}

int
gp_elf_has_dwarf (const struct gp_elf *elf)
{
  return elf->dwarf != NULL;
}

char *
gp_demangle (const char *name)
{
  static char *(*demangle) (const char *, char *, size_t *, int *);
  static bool tried;
  int status;
  if (!tried) {
    tried = true;
    void *library = dlopen ("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
    if (library != NULL)
      *(void **) &demangle = dlsym (library, "__cxa_demangle");
  }
  return demangle != NULL ? demangle (name, NULL, NULL, &status) : NULL;
}

void
gp_demangle_free (char *name)
{
  free (name);
}
