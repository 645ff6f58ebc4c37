/* SPDX-License-Identifier: MIT */
/* redirect_elf.c: reads dynamic sections, symbol hashes and relocations in place (gABI chapter 5; GNU hash as binutils
 * writes it).
 *
 * Context: lifecycle, under the loader's list lock (redirect.c).
 */
#define _GNU_SOURCE
#include "shim/redirect/redirect_elf.h"

#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
enum
{
  RELOC_JUMP_SLOT = R_X86_64_JUMP_SLOT,
  RELOC_GLOB_DAT = R_X86_64_GLOB_DAT,
  RELOC_ABSOLUTE = R_X86_64_64
};
#elif defined(__aarch64__)
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
  VERSION_HIDDEN = 0x8000 /* not the default version of its name */
};

struct dynamic
{
  const Elf64_Dyn *entries;
  size_t n;
};

/* Bytes from address to the end of its segment, which must have all of flags; 0: there is no such segment. */
static size_t
room_at (const struct gp_loaded_elf *elf, uintptr_t address, uint32_t flags)
{
  for (size_t i = 0; i < elf->phnum; i++) {
    const Elf64_Phdr *ph = &elf->phdr[i];
    if (ph->p_type != PT_LOAD || (ph->p_flags & flags) != flags)
      continue;
    uintptr_t offset = address - (elf->bias + ph->p_vaddr); /* wraps to something large below the segment */
    if (offset < ph->p_memsz)
      return ph->p_memsz - offset;
  }
  return 0;
}

bool
gp_loaded_holds (const struct gp_loaded_elf *elf, uintptr_t address, size_t bytes, uint32_t flags)
{
  size_t room = room_at (elf, address, flags);
  return room > 0 && bytes <= room;
}

/* The loader makes the pointers in a dynamic section absolute, unless the section is read-only. */
static uintptr_t
absolute (const struct gp_loaded_elf *elf, uintptr_t value)
{
  return gp_loaded_holds (elf, value, 1, PF_R) ? value : elf->bias + value;
}

static uintptr_t
tag (const struct dynamic *dynamic, Elf64_Sxword wanted, uintptr_t otherwise)
{
  for (size_t i = 0; i < dynamic->n && dynamic->entries[i].d_tag != DT_NULL; i++) {
    if (dynamic->entries[i].d_tag == wanted)
      return dynamic->entries[i].d_un.d_val;
  }
  return otherwise;
}

/* 0 where it is absent or not aligned. */
static uintptr_t
pointer (const struct gp_loaded_elf *elf, const struct dynamic *dynamic, Elf64_Sxword wanted, size_t alignment)
{
  uintptr_t value = tag (dynamic, wanted, 0);
  uintptr_t address = value != 0 ? absolute (elf, value) : 0;
  return address % alignment == 0 ? address : 0;
}

static bool
read_headers (struct gp_loaded_elf *elf, const Elf64_Phdr **dynamic)
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
  return elf->dynamic % sizeof (uintptr_t) == 0 && gp_loaded_holds (elf, elf->dynamic, (*dynamic)->p_memsz, PF_R);
}

static void
read_relocs (struct gp_loaded_elf *elf, int table, uintptr_t address, size_t bytes)
{
  if (address == 0 || !gp_loaded_holds (elf, address, bytes, PF_R))
    return;
  elf->relocs[table] = (const Elf64_Rela *) address;
  elf->reloc_count[table] = bytes / sizeof (Elf64_Rela);
}

bool
gp_loaded_read (const struct dl_phdr_info *info, struct gp_loaded_elf *elf)
{
  *elf = (struct gp_loaded_elf) {
    .bias = info->dlpi_addr,
    .phdr = info->dlpi_phdr,
    .phnum = info->dlpi_phnum,
    .soname = "",
  };
  const Elf64_Phdr *header;
  if (!read_headers (elf, &header))
    return false;
  struct dynamic dynamic = { (const Elf64_Dyn *) elf->dynamic, header->p_memsz / sizeof (Elf64_Dyn) };
  uintptr_t strings = pointer (elf, &dynamic, DT_STRTAB, 1);
  elf->strings_bytes = tag (&dynamic, DT_STRSZ, 0);
  if (strings == 0 || elf->strings_bytes == 0 || !gp_loaded_holds (elf, strings, elf->strings_bytes, PF_R))
    return false;
  elf->strings = (const char *) strings;
  uintptr_t soname = tag (&dynamic, DT_SONAME, elf->strings_bytes);
  if (soname < elf->strings_bytes && memchr (elf->strings + soname, 0, elf->strings_bytes - soname) != NULL)
    elf->soname = elf->strings + soname;
  elf->symbols = (const Elf64_Sym *) pointer (elf, &dynamic, DT_SYMTAB, 8);
  elf->symbol_count = room_at (elf, (uintptr_t) elf->symbols, PF_R) / sizeof (Elf64_Sym);
  elf->versions = pointer (elf, &dynamic, DT_VERSYM, 2);
  elf->gnu_hash = pointer (elf, &dynamic, DT_GNU_HASH, 8);
  elf->sysv_hash = pointer (elf, &dynamic, DT_HASH, 4);
  if (tag (&dynamic, DT_RELAENT, sizeof (Elf64_Rela)) == sizeof (Elf64_Rela))
    read_relocs (elf, 0, pointer (elf, &dynamic, DT_RELA, 8), tag (&dynamic, DT_RELASZ, 0));
  if (tag (&dynamic, DT_PLTREL, 0) == DT_RELA)
    read_relocs (elf, 1, pointer (elf, &dynamic, DT_JMPREL, 8), tag (&dynamic, DT_PLTRELSZ, 0));
  /* Relative relocations come first and name no symbol; a large library has tens of thousands. */
  size_t relative = tag (&dynamic, DT_RELACOUNT, 0);
  if (relative <= elf->reloc_count[0] && elf->reloc_count[0] > 0) {
    elf->relocs[0] += relative;
    elf->reloc_count[0] -= relative;
  }
  return true;
}

static const Elf64_Sym *
symbol_at (const struct gp_loaded_elf *elf, uint32_t index)
{
  if (elf->symbols == NULL || index >= elf->symbol_count)
    return NULL;
  const Elf64_Sym *symbol = &elf->symbols[index];
  return symbol->st_name < elf->strings_bytes ? symbol : NULL;
}

static bool
string_is (const char *string, size_t room, const char *name)
{
  size_t length = strlen (name);
  return length < room && memcmp (string, name, length + 1) == 0;
}

bool
gp_loaded_slot_is (const struct gp_loaded_slot *slot, const char *name)
{
  return slot->name[0] == name[0] && string_is (slot->name, slot->name_room, name);
}

bool
gp_loaded_next_slot (const struct gp_loaded_elf *elf, struct gp_loaded_cursor *cursor, struct gp_loaded_slot *slot)
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
      *slot = (struct gp_loaded_slot) {
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

/* Notes the symbol's address where it is a function of that name. */
static void
consider (const struct gp_loaded_elf *elf, uint32_t index, const char *name, struct gp_loaded_definition *found)
{
  const Elf64_Sym *symbol = symbol_at (elf, index);
  if (symbol == NULL || symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE (symbol->st_info) != STT_FUNC
      || ELF64_ST_BIND (symbol->st_info) == STB_LOCAL
      || !string_is (elf->strings + symbol->st_name, elf->strings_bytes - symbol->st_name, name))
    return;
  uintptr_t version = elf->versions + (uintptr_t) index * sizeof (Elf64_Half);
  bool hidden = elf->versions != 0 && gp_loaded_holds (elf, version, sizeof (Elf64_Half), PF_R)
                && (*(const Elf64_Half *) version & VERSION_HIDDEN) != 0;
  uintptr_t *address = hidden ? &found->older : &found->address;
  if (*address == 0)
    *address = elf->bias + symbol->st_value;
}

/* Layout: nbuckets, first symbol, bloom words, bloom shift; bloom[]; buckets[]; chain[] (hash of each symbol from the
 * first on, bit 0 set at the end of a chain). */
static void
find_gnu (const struct gp_loaded_elf *elf, const char *name, struct gp_loaded_definition *found)
{
  if (!gp_loaded_holds (elf, elf->gnu_hash, 4 * sizeof (uint32_t), PF_R))
    return;
  uint32_t hash = 5381;
  for (const unsigned char *p = (const unsigned char *) name; *p != 0; p++)
    hash = hash * 33 + *p;
  const uint32_t *header = (const uint32_t *) elf->gnu_hash;
  uint32_t buckets = header[0], first = header[1], blooms = header[2], shift = header[3] % 32;
  const uint64_t *bloom = (const uint64_t *) (header + 4);
  size_t bytes = blooms * sizeof *bloom + (size_t) buckets * sizeof (uint32_t);
  if (buckets == 0 || blooms == 0 || !gp_loaded_holds (elf, (uintptr_t) bloom, bytes, PF_R))
    return;
  uint64_t word = bloom[hash / 64 % blooms];
  if ((word >> (hash % 64) & word >> ((hash >> shift) % 64) & 1) == 0)
    return;
  const uint32_t *bucket = (const uint32_t *) (bloom + blooms);
  uintptr_t chain = (uintptr_t) (bucket + buckets);
  for (uint32_t index = bucket[hash % buckets]; index >= first && index != 0; index++) {
    uintptr_t at = chain + (uintptr_t) (index - first) * sizeof (uint32_t);
    if (!gp_loaded_holds (elf, at, sizeof (uint32_t), PF_R))
      return;
    uint32_t seen = *(const uint32_t *) at;
    if ((seen | 1) == (hash | 1))
      consider (elf, index, name, found);
    if ((seen & 1) != 0)
      return;
  }
}

/* Layout: nbuckets, nchains; buckets[]; chain[], by symbol; 0 ends a chain. */
static void
find_sysv (const struct gp_loaded_elf *elf, const char *name, struct gp_loaded_definition *found)
{
  if (!gp_loaded_holds (elf, elf->sysv_hash, 2 * sizeof (uint32_t), PF_R))
    return;
  uint32_t hash = 0;
  for (const unsigned char *p = (const unsigned char *) name; *p != 0; p++) {
    hash = (hash << 4) + *p;
    hash ^= hash >> 24 & 0xf0;
    hash &= 0x0fffffff;
  }
  const uint32_t *table = (const uint32_t *) elf->sysv_hash;
  uint32_t buckets = table[0], chains = table[1];
  size_t bytes = (2 + (size_t) buckets + chains) * sizeof *table;
  if (buckets == 0 || !gp_loaded_holds (elf, elf->sysv_hash, bytes, PF_R))
    return;
  const uint32_t *chain = table + 2 + buckets;
  uint32_t index = table[2 + hash % buckets];
  for (uint32_t steps = 0; index != 0 && index < chains && steps < chains; steps++, index = chain[index])
    consider (elf, index, name, found);
}

struct gp_loaded_definition
gp_loaded_find (const struct gp_loaded_elf *elf, const char *name)
{
  struct gp_loaded_definition found = { 0, 0 };
  if (elf->gnu_hash != 0)
    find_gnu (elf, name, &found);
  else if (elf->sysv_hash != 0)
    find_sysv (elf, name, &found);
  return found;
}
