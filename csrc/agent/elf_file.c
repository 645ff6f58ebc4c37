/* SPDX-License-Identifier: MIT */
/* elf_file.c: opens ELF files, and looks addresses up in them: names, starts, lines and inlined calls.
 *
 * Context: agent.
 */
#define _GNU_SOURCE
#include "agent/symbolizer.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/symbolizer_internal.h"

static char *g_debug_path = ":.debug:" GP_DEBUG_ROOT;

static const Dwfl_Callbacks g_callbacks = {
  .find_debuginfo = gp_files_find_debuginfo,
  .debuginfo_path = &g_debug_path,
};

/* Whether the file has the wanted build id; "" matches every file. */
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
open_module (struct gp_elf_file *elf, const char *path, const char *build_id)
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
  /* libdwfl takes the descriptor over only on success. */
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

struct gp_elf_file *
gp_elf_open (const char *path, const char *build_id, uint32_t *status)
{
  struct gp_elf_file *elf = calloc (1, sizeof *elf);
  *status = elf != NULL ? open_module (elf, path, build_id) : GP_ELF_BROKEN;
  if (*status == GP_ELF_OK)
    return elf;
  gp_elf_close (elf);
  return NULL;
}

void
gp_elf_close (struct gp_elf_file *elf)
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

void
gp_elf_lookup (struct gp_elf_file *elf, uint64_t address, int symbols_only, struct gp_symbols *out)
{
  struct gp_range range;
  out->count = 0;
  if (!symbols_only)
    gp_dwarf_lookup (elf, address, out);
  bool has_fde = gp_fde_find (&elf->fdes, address, &range);
  const struct gp_function *function = gp_functions_find (elf, address, &range);
  if (out->count == 0) {
    out->count = 1;
    memset (&out->frames[0], 0, sizeof out->frames[0]);
  }
  struct gp_symbol *outermost = &out->frames[out->count - 1];
  /* A symbol's name goes before DWARF's, so that a function has the same name with and without debug files. */
  if (function != NULL)
    outermost->name = function->name;
  out->start = address;
  if (has_fde)
    out->start = range.start;
  else if (function != NULL)
    out->start = function->range.start;
  else if (range.start != 0)
    out->start = gp_functions_start (elf, address, range.start);
}

int
gp_elf_lacks_debug_file (struct gp_elf_file *elf)
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
gp_elf_has_dwarf (const struct gp_elf_file *elf)
{
  return elf->dwarf != NULL;
}
