/* SPDX-License-Identifier: MIT */
/* module_lookup.h: the module whose code an address is in.
 *
 * Context: signal. modules/modules.c publishes what is looked up here.
 */
#ifndef GP_MODULE_LOOKUP_H
#define GP_MODULE_LOOKUP_H

#include <elf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* One module as the handler sees it. Its memory stays mapped while gp_modules_enter() holds. */
struct gp_code
{
  uintptr_t start, end; /* the executable segment that holds the pc asked for */
  uintptr_t lo, hi;     /* the readable segment that holds hdr */
  uintptr_t hdr;        /* .eh_frame_hdr */
  uintptr_t bias;       /* run-time address minus ELF address */
  const Elf64_Phdr *phdr;
  uint32_t phnum;
};

/* Of the segment's list. MT-Safe | AS-Safe */
static inline uint32_t
gp_modules_generation (void)
{
  return gp_load (&g_segment->generation);
}

/* A handler's way in: false while modules are being closed; true must be followed by leave. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_enter (void);
GP_INTERNAL void gp_modules_leave (void);

/* The module whose executable code pc is in and which has an .eh_frame_hdr. Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_find (uintptr_t pc, struct gp_code *code);

/* The readable segment of that module which holds [at, at + 8). Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_readable (const struct gp_code *code, uintptr_t at);

/* Raised whenever code went away: rules remembered before are void. MT-Safe | AS-Safe */
GP_INTERNAL extern _Atomic uint32_t g_modules_epoch;

/* What modules.c publishes. */
struct gp_loader_object /* glibc's struct dl_find_object, which older headers lack */
{
  unsigned long long flags;
  void *map_start, *map_end;
  void *link_map;
  void *eh_frame;
  unsigned long long reserved[7];
};

struct gp_known_module
{
  uintptr_t start, end; /* of its executable segments */
  uintptr_t bias;
  const Elf64_Phdr *phdr;
  uint32_t phnum;
};

struct gp_snapshot
{
  uint32_t n;
  struct gp_known_module modules[]; /* by start */
};

/* Where glibc has it (2.35 and later; documented as async-signal-safe), else NULL: then the snapshot serves. */
GP_INTERNAL extern int (*_Atomic g_modules_find_object) (void *, struct gp_loader_object *);
GP_INTERNAL extern struct gp_snapshot *_Atomic g_modules_snapshot;
GP_INTERNAL extern _Atomic uint32_t g_modules_readers;
GP_INTERNAL extern _Atomic uint32_t g_modules_closing;

#endif
