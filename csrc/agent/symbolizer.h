/* SPDX-License-Identifier: MIT */
/* symbolizer.h: functions, inlined calls and source lines of addresses in ELF files, by elfutils' libdwfl.
 *
 * Each file is one object in its own address space (bias 0), wherever processes have loaded it. So a module that is
 * loaded and unloaded, or two modules at one address, need no care. No function uses the network.
 *
 * Read by the C compiler and by cffi: '#' lines and plain declarations only.
 *
 * Context: agent.
 */
#ifndef GP_SYMBOLIZER_H
#define GP_SYMBOLIZER_H

#include <stdint.h>

struct gp_elf_file;

enum gp_elf_status
{
  GP_ELF_OK = 0,
  GP_ELF_GONE = 1,    /* no file there, or not readable */
  GP_ELF_CHANGED = 2, /* another build than the one that was loaded */
  GP_ELF_BROKEN = 3   /* libdwfl does not accept it as an ELF file */
};

enum
{
  GP_SYMBOL_FRAMES = 64 /* one function and the calls inlined into it; of more, the innermost are left out */
};

/* One frame. Strings belong to the gp_elf_file and live until the next lookup in it. */
struct gp_symbol
{
  const char *name; /* as in the file (mangled); NULL: none known */
  const char *file; /* NULL: none known */
  uint32_t line;    /* of the call into the frame before, or of the address itself; 0: not known */
  uint32_t inlined; /* 1: into the next one */
};

struct gp_symbols
{
  uint32_t count; /* innermost first; at least 1: the last one is the function itself */
  uint32_t reserved;
  uint64_t start; /* ELF address at which the function begins; where that is not known, the address asked for */
  struct gp_symbol frames[64];
};

/* Opens a file. build_id: of the file that was loaded, in hex; "": not known. The path "[vdso]" is the kernel's vdso,
 * which all processes share. NULL: it cannot, and *status is the reason. MT-Unsafe heap */
struct gp_elf_file *gp_elf_open (const char *path, const char *build_id, uint32_t *status);
void gp_elf_close (struct gp_elf_file *elf);

/* Looks up an ELF address. symbols_only: without DWARF, which may take long to read the first time. MT-Unsafe heap */
void gp_elf_lookup (struct gp_elf_file *elf, uint64_t address, int symbols_only, struct gp_symbols *out);

/* 1 where neither the file nor the system has debug information for it; known after a lookup. */
int gp_elf_lacks_debug_file (struct gp_elf_file *elf);

/* Bytes that reading its DWARF would inflate: all at once, at some 250 MB a second. 0: none, or it was read already.
 * DWARF that is not compressed is only mapped. */
uint64_t gp_elf_inflates (struct gp_elf_file *elf);

/* Sets another folder in which debug files are searched: that of debuginfod's clients, <build id>/debuginfo. */
void gp_elf_use_cache (const char *folder);

/* Build id (hex) of the alternate debug file (dwz) that a debug file refers to; "" where it refers to none. */
void gp_elf_alternate (const char *path, char hex[129]);

/* 1 where DWARF was read for it: it then holds much memory. */
int gp_elf_has_dwarf (const struct gp_elf_file *elf);

/* Demangles a C++ or Rust name; the result is freed by gp_demangle_free(). NULL: it is no such name, or its text would
 * have more than 50,000 bytes. */
char *gp_demangle (const char *name);
void gp_demangle_free (char *name);

#endif
