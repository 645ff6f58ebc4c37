/* SPDX-License-Identifier: MIT */
/* imports.c: passes over the loaded modules.
 *
 * Hazard: locks of the loader. dlopen and dlclose hold the load lock while constructors and destructors run; those may
 * make threads and wait for them. A pass on such a thread (it called pthread_create) that took the load lock, as
 * dlopen(RTLD_NOLOAD) and dlsym do, would wait for ever. The list lock, under dl_iterate_phdr, is held for short only:
 * while a module is entered or unmapped. So a pass does all its work under the list lock, where no module goes away and
 * no other pass runs, calls nothing but mprotect and futex there, and takes no lock of ours. What remains: a host whose
 * own dl_iterate_phdr callback waits for a mutex, while the holder of that mutex makes a thread, waits for us as well as
 * for itself; any dlopen under that mutex would do the same.
 *
 * Hazard: the loader lists a module before it has relocated it, and makes its RELRO pages read-only at the end; writing
 * to them too early is a fault, or lost. Signs that a module is ready: its RELRO pages are read-only, or the slot, which
 * lies elsewhere, holds what relocation puts there. A module that shows none is left for a later pass, and where it
 * never does (no RELRO, or made writable by somebody), gp_imports_settle() holds it by dlopen(RTLD_NOLOAD), which waits
 * for its loader, on a thread that nobody waits for.
 *
 * Hazard: fork. The child's list lock stays locked if a pass of another thread held it: the handler before the fork
 * waits for passes to end, at most GP_FORK_WAIT_MS, while new ones give up at once instead of waiting for it.
 *
 * Context: lifecycle, on the host's threads and the poller.
 */
#define _GNU_SOURCE
#include "imports.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include "imports_elf.h"
#include "imports_slot.h"

enum
{
  GP_ROWS = GP_IMPORTS_MAX + 2,
  GP_SETTLE_MODULES = 256,      /* in one call */
  GP_FORK_WAIT_MS = 100
};

/* Who defines a row's name, in the order of the list, which is the order of the global scope for what the program
 * started with. */
struct definition
{
  uintptr_t first;
  bool global;                  /* the first one is in the global scope for sure: it came no later than libc */
  bool several;
  bool versions;                /* one of them has older versions that differ */
  bool kept;                    /* one of them is *real as it stands */
};

struct pass
{
  unsigned long long adds;      /* modules ever loaded, and how many of them were done before */
  unsigned long long adds_done;
  size_t modules;               /* listed now */
  size_t index;
  bool libc_seen;
  struct definition definitions[GP_ROWS];
  /* what gp_imports_settle() holds, or gave up on */
  uintptr_t held_bias, held_dynamic;
  bool held, given_up;
  /* the first module that was not ready */
  bool left_over;
  size_t left_index;
  uintptr_t left_bias, left_dynamic;
  char *left_name;              /* PATH_MAX bytes, or NULL if not wanted */
};

_Atomic bool g_imports_pending;
_Atomic bool g_imports_deepbind;

static struct gp_import g_rows[GP_ROWS];
static size_t g_row_count;
static _Atomic int g_passes, g_forks;

/* Written under the list lock. Atomic and relaxed for the sake of sanitizers, which do not know that lock. */
static _Atomic unsigned long long g_adds_done;
static _Atomic bool g_busy;     /* seen set only by a signal handler of the host that runs in the midst of a pass */
static uint32_t g_modules_redirected, g_slots_redirected;

/* Ours, libc, the loader and the vdso: nothing to see there. */
static bool
is_exempt (const struct gp_elf *elf)
{
  return strcmp (elf->soname, "libc.so.6") == 0 || strncmp (elf->soname, "ld-linux", 8) == 0
      || strncmp (elf->soname, "linux-vdso", 10) == 0
      || gp_elf_holds (elf, (uintptr_t) gp_imports_pass, 1, PF_X);
}

static uintptr_t
real_of (const struct gp_import *row)
{
  return (uintptr_t) __atomic_load_n (row->real, __ATOMIC_RELAXED);     /* written under the list lock only */
}

/* Not dlsym: it takes the load lock, and does not see what came by RTLD_LOCAL, as GLib does in a Python host. Symbols
 * that a module only refers to do not count, though dlsym gives them: in an executable that is not position-independent
 * they may be its own PLT entry, which goes through a slot that is redirected. */
static int
look_up (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct pass *pass = data;
  struct gp_elf elf;
  pass->modules++;
  if (!gp_elf_read (info, &elf) || gp_elf_holds (&elf, (uintptr_t) gp_imports_pass, 1, PF_X))
    return 0;
  for (size_t i = 0; i < g_row_count; i++) {
    struct definition *definition = &pass->definitions[i];
    struct gp_elf_definition found = gp_elf_find (&elf, g_rows[i].name);
    if (found.address == 0)
      continue;
    definition->kept = definition->kept || found.address == real_of (&g_rows[i]);
    definition->several = definition->several || definition->first != 0;
    definition->versions = definition->versions || (found.older != 0 && found.older != found.address);
    if (definition->first == 0) {
      definition->first = found.address;
      definition->global = !pass->libc_seen;
    }
  }
  pass->libc_seen = pass->libc_seen || strcmp (elf.soname, "libc.so.6") == 0;
  return 0;
}

/* What a slot not bound yet will be bound to is certain where one module defines the name, or the first that does is in
 * the global scope and nobody looks elsewhere first. A process may hold two GLibs. */
static struct gp_slot_target
target_of (const struct pass *pass, size_t row)
{
  const struct definition *definition = &pass->definitions[row];
  bool global = definition->global && !atomic_load_explicit (&g_imports_deepbind, memory_order_relaxed);
  uintptr_t real = real_of (&g_rows[row]);
  return (struct gp_slot_target) {
    .real = real,
    .replacement = (uintptr_t) g_rows[row].replacement,
    .certain = definition->first == real && !definition->versions && (global || !definition->several),
  };
}

static void
note_left_over (struct pass *pass, size_t index, const struct dl_phdr_info *info, const struct gp_elf *elf)
{
  if (pass->left_over)
    return;
  pass->left_over = true;
  pass->left_index = index;
  pass->left_bias = elf->bias;
  pass->left_dynamic = elf->dynamic;
  if (pass->left_name != NULL)
    strncpy (pass->left_name, info->dlpi_name, PATH_MAX - 1);
}

static int
redirect_module (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct pass *pass = data;
  /* The list is in order of loading: what came since the last pass is among the last (adds - done) of it. */
  size_t index = pass->index++, behind = pass->modules - index;
  struct gp_elf elf;
  if (behind > pass->adds - pass->adds_done || !gp_elf_read (info, &elf) || is_exempt (&elf))
    return 0;
  bool same = elf.bias == pass->held_bias && elf.dynamic == pass->held_dynamic;
  if (same && pass->given_up)
    return 0;
  /* The program itself was relocated before any code ran. */
  bool known = index == 0 || (same && pass->held), probed = false;
  uint32_t redirected = 0;
  bool left_over = false;
  struct gp_elf_cursor cursor = {0, 0};
  struct gp_elf_slot slot;
  while (gp_elf_next (&elf, &cursor, &slot)) {
    size_t row = 0;
    while (row < g_row_count && !gp_elf_slot_is (&slot, g_rows[row].name))
      row++;
    if (row == g_row_count)
      continue;
    if (!known && !probed)
      known = gp_slot_module_closed (&elf);
    probed = true;
    struct gp_slot_target target = target_of (pass, row);
    enum gp_slot_outcome outcome = gp_slot_redirect (&elf, &slot, &target, known);
    redirected += outcome == GP_SLOT_REDIRECTED;
    left_over = left_over || outcome == GP_SLOT_NOT_READY;
  }
  if (left_over)
    note_left_over (pass, index, info, &elf);
  gp_store (&g_slots_redirected, g_slots_redirected + redirected);
  gp_store (&g_modules_redirected, g_modules_redirected + (redirected > 0));
  return 0;
}

/* The outer walk is there for the list lock, which is recursive: the walks within see one and the same list. */
static int
walk_locked (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct pass *pass = data;
  pass->adds = info->dlpi_adds;
  pass->adds_done = atomic_load_explicit (&g_adds_done, memory_order_relaxed);
  if (pass->adds == pass->adds_done || atomic_exchange_explicit (&g_busy, true, memory_order_relaxed))
    return 1;
  dl_iterate_phdr (look_up, pass);
  for (size_t i = 0; i < g_row_count; i++) {
    /* Anew where the module that held it went away. */
    if (!pass->definitions[i].kept && pass->definitions[i].first != 0)
      __atomic_store_n (g_rows[i].real, (void *) pass->definitions[i].first, __ATOMIC_RELEASE);
  }
  dl_iterate_phdr (redirect_module, pass);
  pass->adds_done = pass->adds - (pass->left_over ? pass->modules - pass->left_index : 0);
  atomic_store_explicit (&g_adds_done, pass->adds_done, memory_order_relaxed);
  atomic_store_explicit (&g_imports_pending, pass->left_over, memory_order_relaxed);    /* a hint */
  atomic_store_explicit (&g_busy, false, memory_order_relaxed);
  return 1;
}

static void
run (struct pass *pass)
{
  int saved_errno = errno;
  /* Either we see the fork that is coming, or it sees us: both sides write their own count first (seq_cst). */
  atomic_fetch_add (&g_passes, 1);
  if (atomic_load (&g_forks) == 0)
    dl_iterate_phdr (walk_locked, pass);
  atomic_fetch_sub (&g_passes, 1);
  errno = saved_errno;
}

void
gp_imports_pass (void)
{
  struct pass pass = {0};
  run (&pass);
}

void
gp_imports_settle (void)
{
  static char name[PATH_MAX];
  static unsigned long long adds_before;
  struct pass pass = {.left_name = name};
  run (&pass);
  /* A module that came since the last call is likely to be ready by the next one. */
  bool waited = pass.adds == adds_before;
  adds_before = pass.adds;
  for (int n = 0; waited && pass.left_over && n < GP_SETTLE_MODULES; n++) {
    struct link_map *map = NULL;
    void *handle = dlopen (name, RTLD_LAZY | RTLD_NOLOAD);
    bool held = handle != NULL && dlinfo (handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_addr == pass.left_bias
        && (uintptr_t) map->l_ld == pass.left_dynamic;
    pass = (struct pass) {
      .held_bias = pass.left_bias,
      .held_dynamic = pass.left_dynamic,
      .held = held,
      .given_up = !held,
      .left_name = name,
    };
    run (&pass);
    if (handle != NULL)
      dlclose (handle);
  }
}

static void
before_fork (void)
{
  const struct timespec tenth = {.tv_nsec = 100000};
  atomic_fetch_add (&g_forks, 1);
  for (int i = 0; i < 10 * GP_FORK_WAIT_MS && atomic_load (&g_passes) > 0; i++)
    nanosleep (&tenth, NULL);
}

static void
after_fork_in_parent (void)
{
  atomic_fetch_sub (&g_forks, 1);
}

static void
after_fork_in_child (void)
{
  atomic_store (&g_forks, 0);
  atomic_store (&g_passes, 0);
}

void
gp_imports_init (const struct gp_import *table, size_t n)
{
  g_rows[g_row_count++] = (struct gp_import) {"dlopen", (void *) gp_imports_dlopen, &g_real_dlopen};
  g_rows[g_row_count++] = (struct gp_import) {"dlclose", (void *) gp_imports_dlclose, &g_real_dlclose};
  for (size_t i = 0; i < n && i < GP_IMPORTS_MAX; i++)
    g_rows[g_row_count++] = table[i];
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}

uint32_t
gp_imports_modules (void)
{
  return gp_load (&g_modules_redirected);
}

uint32_t
gp_imports_slots (void)
{
  return gp_load (&g_slots_redirected);
}
