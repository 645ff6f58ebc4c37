/* SPDX-License-Identifier: MIT */
/* fuzz_symbolizer.c: lookups in damaged ELF files.
 *
 * An input is a list of patches to a sound file, whose path GP_FUZZ_FILE gives, so that almost every input gets past
 * the first checks. A patch is eight bytes: which part of the file (one), how many bytes to write (one), where in the
 * part (two), a value (four). Parts are the ELF header, the program headers, the section headers, and each section.
 *
 * Built with libFuzzer: a read or write out of bounds is reported, and so is a lookup that does not end.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "agent/symbolizer.h"

enum
{
  PATCH_BYTES = 8,
  PARTS_MAX = 64,
  FILE_MAX = 1 << 20,
  ADDRESSES = 12
};

static uint8_t g_whole[FILE_MAX], g_damaged[FILE_MAX];
static size_t g_bytes;
static struct
{
  size_t offset, bytes;
} g_parts[PARTS_MAX];
static size_t g_part_count;
static uint64_t g_code_start, g_code_bytes;

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
add_part (size_t offset, size_t bytes)
{
  if (bytes < sizeof (uint64_t) || g_part_count == PARTS_MAX)
    return;
  g_parts[g_part_count].offset = offset;
  g_parts[g_part_count++].bytes = bytes;
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  (void) argc, (void) argv;
  const char *path = getenv ("GP_FUZZ_FILE");
  int fd = path != NULL ? open (path, O_RDONLY) : -1;
  ssize_t bytes = fd >= 0 ? read (fd, g_whole, sizeof g_whole) : -1;
  if (bytes <= (ssize_t) sizeof (Elf64_Ehdr) || bytes == FILE_MAX)
    abort ();
  close (fd);
  g_bytes = (size_t) bytes;
  const Elf64_Ehdr *header = (const Elf64_Ehdr *) g_whole;
  const Elf64_Shdr *sections = (const Elf64_Shdr *) (g_whole + header->e_shoff);
  add_part (0, sizeof *header);
  add_part (header->e_phoff, header->e_phnum * sizeof (Elf64_Phdr));
  add_part (header->e_shoff, header->e_shnum * sizeof (Elf64_Shdr));
  for (uint32_t i = 0; i < header->e_shnum; i++) {
    if (sections[i].sh_type != SHT_NOBITS)
      add_part (sections[i].sh_offset, sections[i].sh_size);
    if ((sections[i].sh_flags & SHF_EXECINSTR) != 0) {
      g_code_start = g_code_start == 0 ? sections[i].sh_addr : g_code_start;
      g_code_bytes = sections[i].sh_addr + sections[i].sh_size - g_code_start;
    }
  }
  return 0;
}

static void
patch (const uint8_t *bytes)
{
  size_t part = bytes[0] % g_part_count, width = (size_t) 1 << bytes[1] % 4;
  uint32_t value;
  memcpy (&value, bytes + 4, sizeof value);
  uint64_t wide = bytes[1] & 0x80 ? (uint64_t) value << 32 | value : (uint64_t) (int64_t) (int32_t) value;
  size_t where = ((size_t) bytes[2] | (size_t) bytes[3] << 8) * width % g_parts[part].bytes;
  where = where < g_parts[part].bytes - width ? where : g_parts[part].bytes - width;
  memcpy (g_damaged + g_parts[part].offset + where, &wide, width);
}

static void
look_up (struct gp_elf_file *elf, uint64_t address, int symbols_only)
{
  struct gp_symbols *symbols = malloc (sizeof *symbols);
  size_t letters = 0;
  gp_elf_lookup (elf, address, symbols_only, symbols);
  if (symbols->count == 0 || symbols->count > GP_SYMBOL_FRAMES)
    abort ();
  for (uint32_t i = 0; i < symbols->count; i++) {
    letters += symbols->frames[i].name != NULL ? strlen (symbols->frames[i].name) : 0;
    letters += symbols->frames[i].file != NULL ? strlen (symbols->frames[i].file) : 0;
  }
  if (letters == SIZE_MAX) /* so that the strings are read */
    abort ();
  free (symbols);
}

static void
look_up_all (const char *path)
{
  uint32_t status;
  struct gp_elf_file *elf = gp_elf_open (path, "", &status);
  if (elf == NULL)
    return;
  for (int symbols_only = 1; symbols_only >= 0; symbols_only--)
    for (uint64_t i = 0; i < ADDRESSES; i++)
      look_up (elf, g_code_start + g_code_bytes * i / ADDRESSES, symbols_only);
  look_up (elf, 0, 0);
  look_up (elf, UINT64_MAX, 0);
  gp_elf_inflates (elf);
  gp_elf_lacks_debug_file (elf);
  gp_elf_has_dwarf (elf);
  gp_elf_close (elf);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char path[64], alternate[129];
  memcpy (g_damaged, g_whole, g_bytes);
  for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES)
    patch (data);
  size_t bytes = size > 0 ? g_bytes * data[0] / UINT8_MAX : g_bytes; /* what is left of the input cuts the file off */
  int fd = memfd_create ("damaged", MFD_CLOEXEC);
  if (fd < 0 || write (fd, g_damaged, bytes) != (ssize_t) bytes)
    abort ();
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  look_up_all (path);
  gp_elf_alternate (path, alternate);
  close (fd);
  return 0;
}
