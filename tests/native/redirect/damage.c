/* SPDX-License-Identifier: MIT */
/* damage.c: csrc/shim/redirect/redirect_elf.c on damaged modules. damage PATH ROUNDS: lays the file's segments out as
 * the loader does, nothing readable around them, damages some words, and reads. A read out of bounds is a SIGSEGV.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "shim/redirect/redirect_elf.h"

enum
{
  SPACE = 1 << 24,
  PAGE = 4096
};

static uint64_t g_state = 1;

static uint64_t
draw (uint64_t below)
{
  g_state = g_state * 6364136223846793005u + 1442695040888963407u;
  return (g_state >> 33) % below;
}

/* Each end of a segment is at most a page's rest away from memory that is not there. */
static void
lay_out (int fd, const struct dl_phdr_info *info)
{
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const Elf64_Phdr *ph = &info->dlpi_phdr[i];
    uintptr_t lo = ph->p_vaddr & -PAGE, hi = (ph->p_vaddr + ph->p_memsz + PAGE - 1) & -PAGE;
    if (ph->p_type != PT_LOAD)
      continue;
    if (mprotect ((void *) (info->dlpi_addr + lo), hi - lo, PROT_READ | PROT_WRITE) != 0
        || pread (fd, (void *) (info->dlpi_addr + ph->p_vaddr), ph->p_filesz, (off_t) ph->p_offset) < 0)
      abort ();
  }
}

static uint64_t
odd_value (const struct dl_phdr_info *info)
{
  static const uint64_t odd[] = { 0, 1, 7, 8, 0x7fffffff, 0xffffffff, 0x100000000, ~(uint64_t) 0, (uint64_t) 1 << 63 };
  uint64_t edge = info->dlpi_addr + draw (16) * PAGE - draw (3) * 8;
  return draw (2) == 0 ? edge : odd[draw (sizeof odd / sizeof *odd)];
}

static void
damage (const struct dl_phdr_info *info, const Elf64_Phdr *dynamic)
{
  for (uint64_t n = 1 + draw (4); n > 0; n--) {
    Elf64_Dyn *entries = (Elf64_Dyn *) (info->dlpi_addr + dynamic->p_vaddr);
    Elf64_Dyn *entry = &entries[draw (dynamic->p_memsz / sizeof *entries)];
    const Elf64_Phdr *ph = &info->dlpi_phdr[draw (info->dlpi_phnum)];
    if (draw (2) == 0)
      entry->d_un.d_val = odd_value (info);
    else if (ph->p_type == PT_LOAD)
      *(uint32_t *) (info->dlpi_addr + ((ph->p_vaddr + draw (ph->p_filesz)) & ~7u)) = (uint32_t) odd_value (info);
  }
}

static size_t
read_all (const struct dl_phdr_info *info)
{
  struct gp_loaded_elf elf;
  if (!gp_loaded_read (info, &elf))
    return 0;
  size_t sum =
      strlen (elf.soname) + gp_loaded_find (&elf, "module_run").address + gp_loaded_find (&elf, "absent").older;
  struct gp_loaded_cursor cursor = { 0, 0 };
  struct gp_loaded_slot slot;
  while (gp_loaded_next_slot (&elf, &cursor, &slot))
    sum += gp_loaded_slot_is (&slot, "pthread_create") + slot.symbol->st_value;
  return sum;
}

int
main (int argc, char **argv)
{
  int fd = argc > 2 ? open (argv[1], O_RDONLY) : -1;
  static char headers[PAGE];
  if (pread (fd, headers, sizeof headers, 0) <= 0)
    return 2;
  const Elf64_Ehdr *header = (const Elf64_Ehdr *) headers;
  struct dl_phdr_info info = { .dlpi_phdr = (const Elf64_Phdr *) (headers + header->e_phoff) };
  info.dlpi_phnum = header->e_phnum;
  info.dlpi_addr = (uintptr_t) mmap (NULL, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  const Elf64_Phdr *dynamic = info.dlpi_phdr;
  while (dynamic->p_type != PT_DYNAMIC)
    dynamic++;
  lay_out (fd, &info);
  size_t whole = read_all (&info), usable = 0;
  for (int i = 0; i < atoi (argv[2]); i++) {
    lay_out (fd, &info);
    damage (&info, dynamic);
    usable += read_all (&info) != 0;
  }
  printf ("%d %d\n", whole != 0, usable > 0);
  return 0;
}
