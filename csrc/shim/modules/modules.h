/* SPDX-License-Identifier: MIT */
/* modules.h: the host's loaded ELF objects, for the agent (the segment's list) and for the handler (whose code is
 * this).
 *
 * Context: said at each function. modules.c is lifecycle only; module_lookup.c signal.
 */
#ifndef GP_MODULES_H
#define GP_MODULES_H

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

/* Brings the segment's list up to date: appends what came, marks what went, raises the generation if either happened.
 * Cheap where nothing did. MT-Safe lock | AS-Unsafe lock heap. Lifecycle: the poller, and after each redirected dlopen
 * and dlclose. */
GP_INTERNAL void gp_modules_refresh (void);

/* The module in whose code an address is, as of the last refresh; NULL: none. Waits for nobody, unlike dladdr, which
 * takes the loader's lock. MT-Safe */
GP_INTERNAL const struct gp_module *gp_modules_listed (uintptr_t address);

/* Of the segment's list. MT-Safe | AS-Safe */
static inline uint32_t
gp_modules_generation (void)
{
  return gp_load (&g_segment->generation);
}

/* While a redirected dlclose runs, handlers neither scan nor read CFI. begin waits for handlers that are
 * reading: less than 1 ms, or as long as their threads have no processor, a second at most; 2 ms where that was in vain
 * before. end takes the list up to date first, so that no rule of the module that went is used for the one that
 * comes. Not nested by the caller, but many threads may. MT-Safe | AS-Unsafe lock */
GP_INTERNAL void gp_modules_close_begin (void);
GP_INTERNAL void gp_modules_close_end (void);

/* A handler's way in: false while modules are being closed; true must be followed by leave. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_enter (void);
GP_INTERNAL void gp_modules_leave (void);

/* The module whose executable code pc is in and which has an .eh_frame_hdr. Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_find (uintptr_t pc, struct gp_code *code);

/* The readable segment of that module which holds [at, at + 8). Requires: entered. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_modules_readable (const struct gp_code *code, uintptr_t at);

/* Raised whenever code went away: rules remembered before are void. MT-Safe | AS-Safe */
GP_INTERNAL extern _Atomic uint32_t g_modules_epoch;

/* Between modules.c, which publishes, and module_lookup.c, which reads. */
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
