/* SPDX-License-Identifier: MIT */
/* module_lookup.h: the module in whose code an address lies.
 *
 * Context: signal. modules/modules.c publishes the list.
 */
#ifndef GP_MODULE_LOOKUP_H
#define GP_MODULE_LOOKUP_H

#include <elf.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

/* One module as the handler sees it. Its memory stays mapped between gp_modules_enter() and gp_modules_leave(). */
struct gp_code
{
  uintptr_t start, end; /* the executable segment that holds the pc asked for */
  uintptr_t lo, hi;     /* the readable segment that holds hdr */
  uintptr_t hdr;        /* .eh_frame_hdr */
  uintptr_t bias;       /* run-time address minus ELF address */
  const Elf64_Phdr *phdr;
  uint32_t phnum;
};

/* Of the segment's list of modules. MT-Safe | AS-Safe */
static inline uint32_t
gp_modules_generation (void)
{
  return gp_load (&g_segment->generation);
}

/* Called by a handler before it reads modules. False: a module is being closed, and none may be read. True must be
 * followed by gp_modules_leave(). MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_enter (void);
GP_INTERNAL void gp_modules_leave (void);

/* The module whose executable code pc is in and which has an .eh_frame_hdr. Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_find (uintptr_t pc, struct gp_code *code);

/* The readable segment of that module which holds [at, at + 8). Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_readable (const struct gp_code *code, uintptr_t at);

/* Raised whenever a module is unloaded: rules cached before are void. MT-Safe | AS-Safe */
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

/* _dl_find_object() of glibc 2.35 and later, documented as async-signal-safe. NULL: the snapshot is used instead. */
GP_INTERNAL extern int (*_Atomic g_modules_find_object) (void *, struct gp_loader_object *);
GP_INTERNAL extern struct gp_snapshot *_Atomic g_modules_snapshot;
GP_INTERNAL extern _Atomic uint32_t g_modules_readers;
GP_INTERNAL extern _Atomic uint32_t g_modules_closing;

#endif
