/* SPDX-License-Identifier: MIT */
/* image.h: an ELF image made by hand, which the unwinder reads as a loaded module: program headers, code, .eh_frame and
 * .eh_frame_hdr. The page behind its last byte is not mapped.
 *
 * Context: tests only.
 */
#ifndef GP_IMAGE_H
#define GP_IMAGE_H

#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include "shim/signal/cfi.h"
#include "shim/signal/cfi_find.h"
#include "shim/signal/dwarf_codes.h"

enum
{
  IMAGE_PAGE = 4096,
  IMAGE_CODE = IMAGE_PAGE, /* offsets of its segments */
  IMAGE_CODE_BYTES = 4 * IMAGE_PAGE,
  IMAGE_CFI = IMAGE_CODE + IMAGE_CODE_BYTES,
  IMAGE_CFI_BYTES = 2 * IMAGE_PAGE,
  IMAGE_BYTES = IMAGE_CFI + IMAGE_CFI_BYTES,
  IMAGE_FUNCTIONS = 32,
  IMAGE_HDR_BYTES = 12 + 8 * IMAGE_FUNCTIONS,
  NO_CODE_ALIGN = 1
};

#if defined(__x86_64__)
/* On entry the return address is all there is on the stack. */
static const uint8_t ENTRY_RULES[] = { CFA_DEF_CFA, 7, 8, CFA_OFFSET | 16, 1 };
#else
static const uint8_t ENTRY_RULES[] = { CFA_DEF_CFA, 31, 0 };
#endif

struct image
{
  uint8_t *memory;
  uint8_t *cfi; /* where the next entry goes */
  uint8_t *cie;
  uint32_t functions;
  struct
  {
    uintptr_t start;
    uint8_t *fde;
  } table[IMAGE_FUNCTIONS];
};

static struct image g_image;

static int
image_find (void *pc, struct gp_loader_object *object)
{
  uintptr_t at = (uintptr_t) pc, start = (uintptr_t) g_image.memory;
  if (at < start || at >= start + IMAGE_BYTES)
    return -1;
  *object = (struct gp_loader_object) {
    .map_start = g_image.memory, .map_end = g_image.memory + IMAGE_BYTES, .eh_frame = g_image.memory + IMAGE_CFI
  };
  return 0;
}

static inline void
put (uint8_t **at, uint64_t value, unsigned bytes)
{
  for (unsigned i = 0; i < bytes; i++)
    *(*at)++ = (uint8_t) (value >> (8 * i));
}

static inline void
put_bytes (uint8_t **at, const void *bytes, size_t n)
{
  memcpy (*at, bytes, n);
  *at += n;
}

/* Closes the entry begun at start: pads it and writes its length. */
static inline void
finish_entry (uint8_t *start, uint8_t **at)
{
  while ((*at - start) % 4 != 0)
    *(*at)++ = CFA_NOP;
  uint8_t *length = start;
  put (&length, (uint64_t) (*at - start - 4), 4);
}

/* A CIE with this augmentation ("zR", "zRS", ...; one 'R' at most); the FDEs that follow belong to it. */
static inline void
image_cie (const char *augmentation, const void *rules, size_t n)
{
  uint8_t *start = g_image.cfi, *at = start + 4;
  g_image.cie = start;
  put (&at, 0, 4);
  put (&at, 1, 1);
  put_bytes (&at, augmentation, strlen (augmentation) + 1);
  put (&at, NO_CODE_ALIGN, 1);
  put (&at, 0x78, 1); /* data alignment -8 */
  put (&at, GP_REG_RA, 1);
  put (&at, 1, 1);
  put (&at, EH_PCREL | EH_SDATA4, 1);
  put_bytes (&at, rules, n);
  finish_entry (start, &at);
  g_image.cfi = at;
}

/* An FDE for the code at [start, end), offsets into the image's code. */
static inline void
image_fde (uintptr_t start, uintptr_t end, const void *program, size_t n)
{
  uint8_t *entry = g_image.cfi, *at = entry + 4;
  uintptr_t code = (uintptr_t) g_image.memory + IMAGE_CODE;
  put (&at, (uint64_t) (at - g_image.cie), 4);
  put (&at, code + start - (uintptr_t) at, 4);
  put (&at, end - start, 4);
  put (&at, 0, 1);
  put_bytes (&at, program, n);
  finish_entry (entry, &at);
  g_image.cfi = at;
  g_image.table[g_image.functions].start = code + start;
  g_image.table[g_image.functions++].fde = entry;
}

/* Writes the search table over what was added so far; functions must come in order. */
static inline void
image_finish (void)
{
  uint8_t *at = g_image.memory + IMAGE_CFI;
  uintptr_t hdr = (uintptr_t) at;
  put (&at, 1, 1);
  put (&at, EH_PCREL | EH_SDATA4, 1);
  put (&at, EH_UDATA4, 1);
  put (&at, EH_DATAREL | EH_SDATA4, 1);
  put (&at, IMAGE_HDR_BYTES - 4, 4);
  put (&at, g_image.functions, 4);
  for (uint32_t i = 0; i < g_image.functions; i++) {
    put (&at, g_image.table[i].start - hdr, 4);
    put (&at, (uintptr_t) g_image.table[i].fde - hdr, 4);
  }
  atomic_fetch_add (&g_modules_epoch, 1);
}

/* An empty image in the place of the last one, its code all nops (x86-64) or zeros. */
static inline void
image_open (void)
{
  if (g_image.memory == NULL) {
    g_image.memory = mmap (NULL, IMAGE_BYTES + IMAGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect (g_image.memory + IMAGE_BYTES, IMAGE_PAGE, PROT_NONE);
  }
  memset (g_image.memory, 0, IMAGE_BYTES);
  memset (g_image.memory + IMAGE_CODE, 0x90, IMAGE_CODE_BYTES);
  Elf64_Ehdr *header = (Elf64_Ehdr *) g_image.memory;
  memcpy (header->e_ident, ELFMAG, SELFMAG);
  header->e_ident[EI_CLASS] = ELFCLASS64;
  header->e_phoff = sizeof *header;
  header->e_phentsize = sizeof (Elf64_Phdr);
  header->e_phnum = 3;
  Elf64_Phdr *segments = (Elf64_Phdr *) (header + 1);
  segments[0] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_flags = PF_R, .p_memsz = IMAGE_PAGE };
  segments[1] =
      (Elf64_Phdr) { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = IMAGE_CODE, .p_memsz = IMAGE_CODE_BYTES };
  segments[2] = (Elf64_Phdr) { .p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = IMAGE_CFI, .p_memsz = IMAGE_CFI_BYTES };
  g_image.cfi = g_image.memory + IMAGE_CFI + IMAGE_HDR_BYTES;
  g_image.functions = 0;
  image_cie ("zR", ENTRY_RULES, sizeof ENTRY_RULES);
  atomic_store (&g_modules_find_object, image_find);
}

/* Address of code. */
static inline uintptr_t
at_code (uintptr_t offset)
{
  return (uintptr_t) g_image.memory + IMAGE_CODE + offset;
}

/* A function at [start, end) whose frame, while it calls others, has this many words, its caller's bp among them where
 * saves_bp. Its return address lies in the topmost, bp below that. */
static inline void
image_function (uintptr_t start, uintptr_t end, unsigned words, bool saves_bp)
{
#if defined(__x86_64__)
  uint8_t program[] = { CFA_DEF_CFA_OFFSET, (uint8_t) (8 * words), saves_bp ? CFA_OFFSET | 6 : CFA_NOP,
    saves_bp ? 2 : CFA_NOP };
#else
  uint8_t program[] = { CFA_DEF_CFA_OFFSET, (uint8_t) (8 * words), CFA_OFFSET | 30, 1,
    saves_bp ? CFA_OFFSET | 29 : CFA_NOP, saves_bp ? 2 : CFA_NOP };
#endif
  image_fde (start, end, program, sizeof program);
}

/* The outermost function of a thread. */
static inline void
image_root (uintptr_t start, uintptr_t end)
{
  const uint8_t program[] = { CFA_UNDEFINED, GP_REG_RA };
  image_fde (start, end, program, sizeof program);
}

#endif
