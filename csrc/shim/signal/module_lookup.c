/* SPDX-License-Identifier: MIT */
/* module_lookup.c: finds the module of a pc, in glibc's own list or in the snapshot that modules.c published.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/module_lookup.h"

int (*_Atomic g_modules_find_object) (void *, struct gp_loader_object *);
struct gp_snapshot *_Atomic g_modules_snapshot;
_Atomic uint32_t g_modules_epoch;
_Atomic uint32_t g_modules_readers;
_Atomic uint32_t g_modules_closing;

enum
{
  PHDRS_MAX = 64,
  FIRST_PAGE = 4096
};

bool
gp_modules_enter (void)
{
  /* Sequentially consistent, as in gp_modules_close_begin(): of a handler that enters and a dlclose that begins, at
   * least one sees the other. */
  atomic_fetch_add (&g_modules_readers, 1);
  if (atomic_load (&g_modules_closing) == 0)
    return true;
  gp_modules_leave ();
  return false;
}

void
gp_modules_leave (void)
{
  /* Release: what was read of a module was read before its dlclose continues. Pairs with the load in
   * gp_modules_close_begin(). */
  atomic_fetch_sub_explicit (&g_modules_readers, 1, memory_order_release);
}

/* Whether segment i of code's module has the flags and holds [at, at + bytes). */
static bool
holds (const struct gp_code *code, uint32_t i, uintptr_t at, uintptr_t bytes, uint32_t flags)
{
  const Elf64_Phdr *segment = &code->phdr[i];
  uintptr_t inside = at - code->bias - segment->p_vaddr; /* wraps below the segment */
  return segment->p_type == PT_LOAD && (segment->p_flags & flags) == flags && inside < segment->p_memsz
         && segment->p_memsz - inside >= bytes;
}

bool
gp_modules_readable (const struct gp_code *code, uintptr_t at)
{
  for (uint32_t i = 0; i < code->phnum; i++)
    if (holds (code, i, at, sizeof (uintptr_t), PF_R))
      return true;
  return false;
}

/* Finds the segments of pc and of hdr in one pass: the headers are cold memory. */
static bool
find_segments (struct gp_code *code, uintptr_t pc)
{
  code->start = code->lo = 0;
  for (uint32_t i = 0; i < code->phnum && (code->start == 0 || code->lo == 0); i++) {
    uintptr_t start = code->bias + code->phdr[i].p_vaddr, end = start + code->phdr[i].p_memsz;
    if (holds (code, i, pc, 1, PF_R | PF_X)) {
      code->start = start;
      code->end = end;
    }
    if (holds (code, i, code->hdr, 4, PF_R)) {
      code->lo = start;
      code->hi = end;
    }
  }
  return code->start != 0 && code->lo != 0;
}

/* Reads the program headers of the ELF image that is mapped at start. False where they do not lie in its first page:
 * linkers put them there unless told otherwise. */
static bool
open_image (uintptr_t start, uintptr_t end, struct gp_code *code)
{
  const Elf64_Ehdr *header = (const Elf64_Ehdr *) start;
  if (end - start < FIRST_PAGE || header->e_ident[EI_MAG0] != ELFMAG0 || header->e_ident[EI_MAG1] != ELFMAG1
      || header->e_ident[EI_MAG2] != ELFMAG2 || header->e_ident[EI_MAG3] != ELFMAG3
      || header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_phentsize != sizeof (Elf64_Phdr)
      || header->e_phnum > PHDRS_MAX || header->e_phoff > FIRST_PAGE - sizeof (Elf64_Phdr) * PHDRS_MAX
      || header->e_phoff % sizeof (uint64_t) != 0)
    return false;
  code->phdr = (const Elf64_Phdr *) (start + header->e_phoff);
  code->phnum = header->e_phnum;
  for (uint32_t i = 0; i < code->phnum; i++)
    if (code->phdr[i].p_type == PT_LOAD) {
      code->bias = start - (code->phdr[i].p_vaddr & ~(uint64_t) (FIRST_PAGE - 1));
      return true;
    }
  return false;
}

static bool
find_by_loader (int (*find) (void *, struct gp_loader_object *), uintptr_t pc, struct gp_code *code)
{
  struct gp_loader_object object;
  if (find ((void *) pc, &object) != 0 || object.eh_frame == NULL
      || !open_image ((uintptr_t) object.map_start, (uintptr_t) object.map_end, code))
    return false;
  code->hdr = (uintptr_t) object.eh_frame;
  return true;
}

static bool
find_in_snapshot (uintptr_t pc, struct gp_code *code)
{
  /* Acquire: the modules behind the pointer; pairs with the release in publish(). */
  const struct gp_snapshot *snapshot = atomic_load_explicit (&g_modules_snapshot, memory_order_acquire);
  if (snapshot == NULL)
    return false;
  uint32_t low = 0, high = snapshot->n;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (snapshot->modules[middle].end <= pc)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == snapshot->n || pc < snapshot->modules[low].start)
    return false;
  const struct gp_known_module *module = &snapshot->modules[low];
  code->bias = module->bias;
  code->phdr = module->phdr;
  code->phnum = module->phnum;
  for (uint32_t i = 0; i < code->phnum; i++)
    if (code->phdr[i].p_type == PT_GNU_EH_FRAME) {
      code->hdr = code->bias + code->phdr[i].p_vaddr;
      return true;
    }
  return false;
}

bool
gp_modules_find (uintptr_t pc, struct gp_code *code)
{
  /* Relaxed: set once, before any handler runs; a function pointer needs nothing else. */
  int (*find) (void *, struct gp_loader_object *) = atomic_load_explicit (&g_modules_find_object, memory_order_relaxed);
  return (find != NULL ? find_by_loader (find, pc, code) : find_in_snapshot (pc, code)) && find_segments (code, pc);
}
