/* SPDX-License-Identifier: MIT */
/* imports_elf.c: reads dynamic sections, symbol hashes and relocations in place (gABI chapter 5; GNU hash as binutils
 * writes it).
 *
 * Context: lifecycle, under the loader's list lock (imports.c).
 */
#define _GNU_SOURCE
#include "imports_elf.h"

#include <string.h>
#include <unistd.h>

#if defined (__x86_64__)
enum
{
  RELOC_JUMP_SLOT = R_X86_64_JUMP_SLOT,
  RELOC_GLOB_DAT = R_X86_64_GLOB_DAT,
  RELOC_ABSOLUTE = R_X86_64_64
};
#elif defined (__aarch64__)
enum
{
  RELOC_JUMP_SLOT = R_AARCH64_JUMP_SLOT,
  RELOC_GLOB_DAT = R_AARCH64_GLOB_DAT,
  RELOC_ABSOLUTE = R_AARCH64_ABS64
};
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif

enum
{
  VERSION_HIDDEN = 0x8000       /* not the default version of its name */
};

bool
gp_elf_holds (const struct gp_elf *elf, uintptr_t address, size_t bytes, uint32_t flags)
{
  for (size_t i = 0; i < elf->phnum; i++) {
    const Elf64_Phdr *ph = &elf->phdr[i];
    if (ph->p_type != PT_LOAD || (ph->p_flags & flags) != flags || bytes > ph->p_memsz)
      continue;
    uintptr_t offset = address - (elf->bias + ph->p_vaddr);     /* wraps to something large below the segment */
    if (offset <= ph->p_memsz - bytes)
      return true;
  }
  return false;
}

/* The loader has made the pointers of most dynamic sections absolute, not those of read-only ones. */
static uintptr_t
absolute (const struct gp_elf *elf, uintptr_t value)
{
  return gp_elf_holds (elf, value, 1, PF_R) ? value : elf->bias + value;
}

static uintptr_t
aligned (const struct gp_elf *elf, uintptr_t value, size_t alignment)
{
  uintptr_t address = absolute (elf, value);
  return address % alignment == 0 ? address : 0;
}

static bool
read_headers (struct gp_elf *elf, const Elf64_Phdr **dynamic)
{
  uintptr_t page = (uintptr_t) sysconf (_SC_PAGESIZE);
  *dynamic = NULL;
  for (size_t i = 0; i < elf->phnum; i++) {
    const Elf64_Phdr *ph = &elf->phdr[i];
    if (ph->p_type == PT_DYNAMIC)
      *dynamic = ph;
    if (ph->p_type == PT_GNU_RELRO) {
      /* Rounded as the loader does, both ends down. */
      elf->relro_lo = (elf->bias + ph->p_vaddr) & -page;
      elf->relro_hi = (elf->bias + ph->p_vaddr + ph->p_memsz) & -page;
    }
  }
  if (*dynamic == NULL)
    return false;
  elf->dynamic = elf->bias + (*dynamic)->p_vaddr;
  return elf->dynamic % sizeof (uintptr_t) == 0
      && gp_elf_holds (elf, elf->dynamic, (*dynamic)->p_memsz, PF_R);
}

bool
gp_elf_read (const struct dl_phdr_info *info, struct gp_elf *elf)
{
  *elf = (struct gp_elf) {.bias = info->dlpi_addr, .phdr = info->dlpi_phdr, .phnum = info->dlpi_phnum, .soname = ""};
  const Elf64_Phdr *header;
  if (!read_headers (elf, &header))
    return false;
  uintptr_t strings = 0, soname = 0, relocs[2] = {0, 0};
  size_t reloc_bytes[2] = {0, 0}, reloc_entry = sizeof (Elf64_Rela), relative = 0;
  bool has_soname = false, runpath = false, plt_rela = false;
  const Elf64_Dyn *entry = (const Elf64_Dyn *) elf->dynamic;
  for (size_t n = header->p_memsz / sizeof *entry; n > 0 && entry->d_tag != DT_NULL; n--, entry++) {
    uintptr_t value = entry->d_un.d_val;
    switch (entry->d_tag) {
    case DT_STRTAB: strings = absolute (elf, value); break;
    case DT_STRSZ: elf->strings_bytes = value; break;
    case DT_SYMTAB: elf->symbols = aligned (elf, value, 8); break;
    case DT_VERSYM: elf->versions = aligned (elf, value, 2); break;
    case DT_GNU_HASH: elf->gnu_hash = aligned (elf, value, 8); break;
    case DT_HASH: elf->sysv_hash = aligned (elf, value, 4); break;
    case DT_RELA: relocs[0] = aligned (elf, value, 8); break;
    case DT_RELASZ: reloc_bytes[0] = value; break;
    case DT_RELAENT: reloc_entry = value; break;
    case DT_RELACOUNT: relative = value; break;
    case DT_JMPREL: relocs[1] = aligned (elf, value, 8); break;
    case DT_PLTRELSZ: reloc_bytes[1] = value; break;
    case DT_PLTREL: plt_rela = value == DT_RELA; break;
    case DT_SONAME: soname = value; has_soname = true; break;
    case DT_RPATH: elf->rpath = true; break;
    case DT_RUNPATH: runpath = true; break;
    default: break;
    }
  }
  elf->rpath = elf->rpath && !runpath;
  if (strings == 0 || elf->strings_bytes == 0 || !gp_elf_holds (elf, strings, elf->strings_bytes, PF_R))
    return false;
  elf->strings = (const char *) strings;
  if (has_soname && soname < elf->strings_bytes
      && memchr (elf->strings + soname, 0, elf->strings_bytes - soname) != NULL)
    elf->soname = elf->strings + soname;
  for (int i = 0; i < 2; i++) {
    bool usable = relocs[i] != 0 && reloc_entry == sizeof (Elf64_Rela) && (i == 0 || plt_rela)
        && gp_elf_holds (elf, relocs[i], reloc_bytes[i], PF_R);
    elf->relocs[i] = usable ? (const Elf64_Rela *) relocs[i] : NULL;
    elf->reloc_count[i] = usable ? reloc_bytes[i] / sizeof (Elf64_Rela) : 0;
  }
  /* Relative ones come first and name no symbol; a large library has tens of thousands. */
  if (relative <= elf->reloc_count[0] && elf->reloc_count[0] > 0) {
    elf->relocs[0] += relative;
    elf->reloc_count[0] -= relative;
  }
  return true;
}

static const Elf64_Sym *
symbol_at (const struct gp_elf *elf, uint32_t index)
{
  uintptr_t address = elf->symbols + (uintptr_t) index * sizeof (Elf64_Sym);
  if (elf->symbols == 0 || !gp_elf_holds (elf, address, sizeof (Elf64_Sym), PF_R))
    return NULL;
  const Elf64_Sym *symbol = (const Elf64_Sym *) address;
  return symbol->st_name < elf->strings_bytes ? symbol : NULL;
}

static bool
string_is (const char *string, size_t room, const char *name)
{
  size_t length = strlen (name);
  return length < room && memcmp (string, name, length + 1) == 0;
}

bool
gp_elf_slot_is (const struct gp_elf_slot *slot, const char *name)
{
  return slot->name[0] == name[0] && string_is (slot->name, slot->name_room, name);
}

bool
gp_elf_next (const struct gp_elf *elf, struct gp_elf_cursor *cursor, struct gp_elf_slot *slot)
{
  for (; cursor->table < 2; cursor->table++, cursor->index = 0) {
    while (cursor->index < elf->reloc_count[cursor->table]) {
      const Elf64_Rela *reloc = &elf->relocs[cursor->table][cursor->index++];
      uint32_t type = ELF64_R_TYPE (reloc->r_info);
      if (type != RELOC_JUMP_SLOT && type != RELOC_GLOB_DAT && type != RELOC_ABSOLUTE)
        continue;
      const Elf64_Sym *symbol = symbol_at (elf, ELF64_R_SYM (reloc->r_info));
      if (symbol == NULL)
        continue;
      *slot = (struct gp_elf_slot) {
        .address = elf->bias + reloc->r_offset,
        .symbol = symbol,
        .name = elf->strings + symbol->st_name,
        .name_room = elf->strings_bytes - symbol->st_name,
        .lazy = type == RELOC_JUMP_SLOT,
      };
      return true;
    }
  }
  return false;
}

/* The function's address where symbol index is what is looked for, else 0. */
static uintptr_t
defined (const struct gp_elf *elf, uint32_t index, const char *name)
{
  const Elf64_Sym *symbol = symbol_at (elf, index);
  if (symbol == NULL || symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE (symbol->st_info) != STT_FUNC
      || ELF64_ST_BIND (symbol->st_info) == STB_LOCAL
      || !string_is (elf->strings + symbol->st_name, elf->strings_bytes - symbol->st_name, name))
    return 0;
  uintptr_t version = elf->versions + (uintptr_t) index * sizeof (Elf64_Half);
  if (elf->versions != 0 && gp_elf_holds (elf, version, sizeof (Elf64_Half), PF_R)
      && (*(const Elf64_Half *) version & VERSION_HIDDEN) != 0)
    return 0;
  return elf->bias + symbol->st_value;
}

/* Layout: nbuckets, first symbol, bloom words, bloom shift; bloom[]; buckets[]; chain[] (hash of each symbol from the
 * first on, bit 0 set at the end of a chain). */
static uintptr_t
find_gnu (const struct gp_elf *elf, const char *name)
{
  if (!gp_elf_holds (elf, elf->gnu_hash, 4 * sizeof (uint32_t), PF_R))
    return 0;
  uint32_t hash = 5381;
  for (const unsigned char *p = (const unsigned char *) name; *p != 0; p++)
    hash = hash * 33 + *p;
  const uint32_t *header = (const uint32_t *) elf->gnu_hash;
  uint32_t buckets = header[0], first = header[1], blooms = header[2], shift = header[3] % 32;
  const uint64_t *bloom = (const uint64_t *) (header + 4);
  size_t bytes = blooms * sizeof *bloom + (size_t) buckets * sizeof (uint32_t);
  if (buckets == 0 || blooms == 0 || !gp_elf_holds (elf, (uintptr_t) bloom, bytes, PF_R))
    return 0;
  uint64_t word = bloom[hash / 64 % blooms];
  if ((word >> (hash % 64) & word >> ((hash >> shift) % 64) & 1) == 0)
    return 0;
  const uint32_t *bucket = (const uint32_t *) (bloom + blooms);
  uintptr_t chain = (uintptr_t) (bucket + buckets);
  for (uint32_t index = bucket[hash % buckets]; index >= first && index != 0; index++) {
    uintptr_t at = chain + (uintptr_t) (index - first) * sizeof (uint32_t);
    if (!gp_elf_holds (elf, at, sizeof (uint32_t), PF_R))
      return 0;
    uint32_t seen = *(const uint32_t *) at;
    uintptr_t found = (seen | 1) == (hash | 1) ? defined (elf, index, name) : 0;
    if (found != 0 || (seen & 1) != 0)
      return found;
  }
  return 0;
}

/* Layout: nbuckets, nchains; buckets[]; chain[], by symbol; 0 ends a chain. */
static uintptr_t
find_sysv (const struct gp_elf *elf, const char *name)
{
  if (!gp_elf_holds (elf, elf->sysv_hash, 2 * sizeof (uint32_t), PF_R))
    return 0;
  uint32_t hash = 0;
  for (const unsigned char *p = (const unsigned char *) name; *p != 0; p++) {
    hash = (hash << 4) + *p;
    hash ^= hash >> 24 & 0xf0;
    hash &= 0x0fffffff;
  }
  const uint32_t *table = (const uint32_t *) elf->sysv_hash;
  uint32_t buckets = table[0], chains = table[1];
  size_t bytes = (2 + (size_t) buckets + chains) * sizeof *table;
  if (buckets == 0 || !gp_elf_holds (elf, elf->sysv_hash, bytes, PF_R))
    return 0;
  const uint32_t *chain = table + 2 + buckets;
  uint32_t index = table[2 + hash % buckets];
  for (uint32_t steps = 0; index != 0 && index < chains && steps < chains; steps++, index = chain[index]) {
    uintptr_t found = defined (elf, index, name);
    if (found != 0)
      return found;
  }
  return 0;
}

uintptr_t
gp_elf_find (const struct gp_elf *elf, const char *name)
{
  if (elf->gnu_hash != 0)
    return find_gnu (elf, name);
  return elf->sysv_hash != 0 ? find_sysv (elf, name) : 0;
}
