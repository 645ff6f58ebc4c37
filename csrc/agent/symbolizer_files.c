/* SPDX-License-Identifier: MIT */
/* symbolizer_files.c: finds debug files by build id and by debuglink, and copies the vdso to a file.
 *
 * dwfl_standard_find_debuginfo() is not used: where DEBUGINFOD_URLS is set it queries servers, and a push would wait
 * for them. symbols/debuginfod.py fetches from them into the cache, where this file finds it.
 *
 * Context: agent.
 */
#define _GNU_SOURCE
#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/symbolizer_internal.h"

int
gp_files_open_vdso (void)
{
  const char *image = (const char *) getauxval (AT_SYSINFO_EHDR);
  if (image == NULL)
    return -1;
  Elf64_Ehdr header;
  memcpy (&header, image, sizeof header);
  /* The section headers are the last thing in it. */
  size_t bytes = header.e_shoff + (size_t) header.e_shnum * header.e_shentsize;
  int fd = memfd_create ("vdso", MFD_CLOEXEC);
  if (fd >= 0 && write (fd, image, bytes) != (ssize_t) bytes) {
    close (fd);
    return -1;
  }
  return fd;
}

/* CRC-32 of a whole file, as `objcopy --add-gnu-debuglink` computes it. */
static bool
crc_of (int fd, uint32_t *crc)
{
  struct stat status;
  if (fstat (fd, &status) != 0 || status.st_size == 0)
    return false;
  size_t length = (size_t) status.st_size;
  unsigned char *bytes = mmap (NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED)
    return false;
  uint32_t table[256];
  for (uint32_t i = 0; i < 256; i++) {
    table[i] = i;
    for (int bit = 0; bit < 8; bit++)
      table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320U : 0);
  }
  uint32_t value = UINT32_MAX;
  for (size_t i = 0; i < length; i++)
    value = value >> 8 ^ table[(value ^ bytes[i]) & 0xff];
  munmap (bytes, length);
  *crc = ~value;
  return true;
}

/* Whether the file has this build id. If so its checksum, for which all of it must be read, need not be computed. */
static bool
has_build_id (int fd, const unsigned char *wanted, int wanted_bytes)
{
  Elf *elf = elf_begin (fd, ELF_C_READ_MMAP_PRIVATE, NULL);
  const void *found;
  ssize_t bytes = elf != NULL ? dwelf_elf_gnu_build_id (elf, &found) : -1;
  bool same = wanted_bytes > 0 && bytes == wanted_bytes && memcmp (found, wanted, bytes) == 0;
  elf_end (elf);
  return same;
}

static int
open_if_matching (const char *path, Dwfl_Module *module, GElf_Word crc, char **name)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  const unsigned char *build_id;
  GElf_Addr address;
  uint32_t found;
  int bytes = dwfl_module_build_id (module, &build_id, &address);
  if (has_build_id (fd, build_id, bytes) || (crc_of (fd, &found) && found == crc)) {
    *name = strdup (path);
    return fd;
  }
  close (fd);
  return -1;
}

/* Searches the places that gdb's manual lists ("Separate Debug Files"). */
static int
find_by_debuglink (Dwfl_Module *module, const char *file_name, const char *debuglink, GElf_Word crc, char **name)
{
  char folder[PATH_MAX];
  char path[PATH_MAX * 2];
  static const char *const formats[] = { "%s/%s", "%s/.debug/%s", GP_DEBUG_ROOT "%s/%s" };
  if (strchr (debuglink, '/') != NULL || realpath (file_name, folder) == NULL)
    return -1;
  *strrchr (folder, '/') = 0;
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf (path, sizeof path, formats[i], folder, debuglink);
#pragma GCC diagnostic pop
    int fd = open_if_matching (path, module, crc, name);
    if (fd >= 0)
      return fd;
  }
  return -1;
}

static char g_cache[PATH_MAX]; /* "": none */

void
gp_elf_use_cache (const char *folder)
{
  snprintf (g_cache, sizeof g_cache, "%s", folder);
}

static void
to_hex (const unsigned char *bits, size_t bytes, char hex[129])
{
  hex[0] = 0;
  for (size_t i = 0; i < bytes && i < 64; i++)
    snprintf (hex + i * 2, 3, "%02x", bits[i]);
}

static void
alternate_of (int fd, char hex[129])
{
  Elf *elf = elf_begin (fd, ELF_C_READ_MMAP_PRIVATE, NULL);
  Elf_Scn *section = NULL;
  GElf_Shdr shape;
  size_t names;
  hex[0] = 0;
  if (elf != NULL && elf_getshdrstrndx (elf, &names) == 0)
    while ((section = elf_nextscn (elf, section)) != NULL) {
      const char *name = gelf_getshdr (section, &shape) != NULL ? elf_strptr (elf, names, shape.sh_name) : NULL;
      Elf_Data *data;
      if (name == NULL || strcmp (name, ".gnu_debugaltlink") != 0 || shape.sh_type == SHT_NOBITS
          || (data = elf_getdata (section, NULL)) == NULL || data->d_buf == NULL)
        continue;
      /* A file's name, NUL, a build id. */
      const char *end = memchr (data->d_buf, 0, data->d_size);
      if (end != NULL)
        to_hex ((const unsigned char *) end + 1, data->d_size - (size_t) (end + 1 - (const char *) data->d_buf), hex);
    }
  elf_end (elf);
}

void
gp_elf_alternate (const char *path, char hex[129])
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  elf_version (EV_CURRENT);
  hex[0] = 0;
  if (fd < 0)
    return;
  alternate_of (fd, hex);
  close (fd);
}

static int
open_cached (const char *hex, char **name)
{
  char path[PATH_MAX + 160];
  struct stat status;
  if (g_cache[0] == 0 || hex[0] == 0)
    return -1;
  snprintf (path, sizeof path, "%s/%s/debuginfo", g_cache, hex);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  /* An empty file records that no server has it. */
  if (fd >= 0 && (fstat (fd, &status) != 0 || status.st_size == 0)) {
    close (fd);
    return -1;
  }
  if (fd >= 0)
    *name = strdup (path);
  return fd;
}

static int
find_in_cache (Dwfl_Module *module, const char *file_name, const char *debuglink, GElf_Word crc, char **name)
{
  const unsigned char *bits;
  GElf_Addr address;
  char hex[129];
  /* libdwfl asks for an alternate file by the name of the debug file that wants it, and no checksum. */
  if (debuglink != NULL && crc == 0 && file_name != NULL) {
    gp_elf_alternate (file_name, hex);
    if (hex[0] != 0)
      return open_cached (hex, name);
  }
  int bytes = dwfl_module_build_id (module, &bits, &address);
  to_hex (bits, bytes > 0 ? (size_t) bytes : 0, hex);
  return open_cached (hex, name);
}

int
gp_files_find_debuginfo (Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, const char *file_name,
    const char *debuglink, GElf_Word crc, char **debuginfo_name)
{
  /* Also finds the alternate file (dwz) of debug information that is open already. */
  int fd = dwfl_build_id_find_debuginfo (module, userdata, name, base, file_name, debuglink, crc, debuginfo_name);
  if (fd < 0 && debuglink != NULL && file_name != NULL)
    fd = find_by_debuglink (module, file_name, debuglink, crc, debuginfo_name);
  return fd >= 0 ? fd : find_in_cache (module, file_name, debuglink, crc, debuginfo_name);
}
