/* SPDX-License-Identifier: MIT */
/* redirect_elf.h: what a loaded module defines, and the slots it imports through.
 *
 * Modules are other people's files, and may be damaged: each read is checked to lie within a readable segment, each
 * string within its table. What does not fit counts as absent.
 *
 * Context: lifecycle. All functions MT-Safe | AS-Safe; the module must stay mapped meanwhile.
 */
#ifndef GP_REDIRECT_ELF_H
#define GP_REDIRECT_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shim/base/segment.h"

struct gp_loaded_elf
{
  uintptr_t bias; /* run-time address minus ELF address */
  const Elf64_Phdr *phdr;
  size_t phnum;
  uintptr_t dynamic;            /* tells a module from another at the same bias */
  uintptr_t relro_lo, relro_hi; /* whole pages the loader makes read-only once the module is relocated; may be empty */
  const char *strings;
  size_t strings_bytes;
  const Elf64_Sym *symbols;
  size_t symbol_count; /* at most: ELF does not give the table's length */
  uintptr_t versions;  /* 0: none */
  uintptr_t gnu_hash, sysv_hash;
  const Elf64_Rela *relocs[2]; /* general ones, and those of the PLT */
  size_t reloc_count[2];
  const char *soname; /* "" where it has none */
};

/* One place that the loader fills with the address of a function or object. */
struct gp_loaded_slot
{
  uintptr_t address; /* not checked yet: gp_loaded_holds() */
  const Elf64_Sym *symbol;
  const char *name;
  size_t name_room; /* bytes from name to the end of the string table */
  bool lazy;        /* may stay unbound until the first call */
};

struct gp_loaded_definition
{
  uintptr_t address; /* of the default version; 0: none */
  uintptr_t older;   /* of another version, for modules linked against it; 0: none */
};

struct gp_loaded_cursor
{
  int table;
  size_t index;
};

/* False: the module has no dynamic section that we can read. */
GP_INTERNAL bool gp_loaded_read (const struct dl_phdr_info *info, struct gp_loaded_elf *elf);

/* [address, address + bytes) lies within one segment that has all of flags (PF_R, ...). */
GP_INTERNAL bool gp_loaded_holds (const struct gp_loaded_elf *elf, uintptr_t address, size_t bytes, uint32_t flags);

/* The next slot, from a zeroed cursor on. */
GP_INTERNAL bool gp_loaded_next_slot (
    const struct gp_loaded_elf *elf, struct gp_loaded_cursor *cursor, struct gp_loaded_slot *slot);

GP_INTERNAL bool gp_loaded_slot_is (const struct gp_loaded_slot *slot, const char *name);

/* The function that the module itself defines under that name. */
GP_INTERNAL struct gp_loaded_definition gp_loaded_find (const struct gp_loaded_elf *elf, const char *name);

#endif
