/* SPDX-License-Identifier: MIT */
/* modules.c: keeps the segment's list of modules, and the handler's snapshot where glibc has no _dl_find_object().
 *
 * Context: lifecycle.
 */
#define _GNU_SOURCE
#include "shim/modules/modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/modules/module_elf.h"
#include "shim/signal/module_lookup.h"

enum
{
  CLOSE_WAIT_MS = 1000, /* a handler takes a thousandth of it, but its thread may be preempted, or out of its quota */
  LOST_WAIT_MS = 2      /* where there are no more readers than at the last wait that ran out */
};

/* One pass over the loader's list. */
struct pass
{
  uint32_t generation; /* of the list, if this pass changes it */
  bool changed, removed, unchanged_list;
  struct gp_snapshot *snapshot;
  uint32_t room;
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
/* under g_lock */
static unsigned long long g_adds, g_subs;
static uint32_t g_live[GP_MODULES]; /* indices into the segment's list */
static uint32_t g_live_count;
static bool g_seen[GP_MODULES]; /* in this pass; parallel to g_live */

static bool
same_text (uint32_t offset, const char *text)
{
  return strcmp (g_segment->strings + offset, text) == 0;
}

/* Uses the old entry again where a module was unloaded and the same file was loaded at the same place. So a plugin that
 * is loaded and unloaded for ever does not fill the list. There can be no sample from the time between. */
static bool
revive (struct pass *pass, uintptr_t start, uintptr_t end, const char *path, const char *build_id)
{
  for (uint32_t i = g_segment->module_count; i-- > 0;) {
    struct gp_module *module = &g_segment->modules[i];
    if (module->removed != 0 && module->start == start && module->end == end && same_text (module->path, path)
        && same_text (module->build_id, build_id)) {
      gp_store (&module->removed, 0);
      g_seen[g_live_count] = true;
      g_live[g_live_count++] = i;
      pass->changed = true;
      return true;
    }
  }
  return false;
}

static void
append (struct pass *pass, const struct dl_phdr_info *info, uintptr_t start, uintptr_t end)
{
  char buffer[PATH_MAX], build_id[GP_BUILD_ID_TEXT];
  const char *path = gp_elf_path (info, buffer, sizeof buffer);
  gp_elf_build_id (info, build_id);
  uint32_t index = g_segment->module_count;
  if (revive (pass, start, end, path, build_id) || index == GP_MODULES)
    return;
  struct gp_module *module = &g_segment->modules[index];
  module->start = start;
  module->end = end;
  module->bias = info->dlpi_addr;
  module->path = gp_strings_add (path);
  module->build_id = gp_strings_add (build_id);
  module->added = pass->generation;
  /* Publishes the entry; pairs with the agent's acquire. */
  gp_store_release (&g_segment->module_count, index + 1);
  g_seen[g_live_count] = true;
  g_live[g_live_count++] = index;
  pass->changed = true;
}

const struct gp_module *
gp_modules_listed (uintptr_t address)
{
  uint32_t count = gp_load_acquire (&g_segment->module_count); /* pairs with the release in append() */
  for (uint32_t i = count; i > 0; i--) {
    const struct gp_module *module = &g_segment->modules[i - 1];
    if (address >= module->start && address < module->end && gp_load (&module->removed) == 0)
      return module;
  }
  return NULL;
}

static void
add_to_snapshot (struct pass *pass, const struct dl_phdr_info *info, uintptr_t start, uintptr_t end)
{
  struct gp_snapshot *snapshot = pass->snapshot;
  if (snapshot == NULL || snapshot->n == pass->room)
    return;
  uint32_t i = snapshot->n++;
  for (; i > 0 && snapshot->modules[i - 1].start > start; i--)
    snapshot->modules[i] = snapshot->modules[i - 1];
  snapshot->modules[i] = (struct gp_known_module) {
    .start = start, .end = end, .bias = info->dlpi_addr, .phdr = info->dlpi_phdr, .phnum = info->dlpi_phnum
  };
}

static bool
same_path (uint32_t offset, const struct dl_phdr_info *info)
{
  /* The executable and the vdso have other names in the segment, and are never unloaded. */
  const char *name = info->dlpi_name;
  return name == NULL || name[0] != '/' || same_text (offset, name);
}

/* Callback of dl_iterate_phdr: finds the module in the list or appends it. */
static int
update_module (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct pass *pass = data;
  uintptr_t start, end;
  if (pass->unchanged_list && info->dlpi_adds == g_adds && info->dlpi_subs == g_subs)
    return 1;
  pass->unchanged_list = false;
  g_adds = info->dlpi_adds;
  g_subs = info->dlpi_subs;
  if (!gp_elf_code_range (info, &start, &end))
    return 0;
  add_to_snapshot (pass, info, start, end);
  for (uint32_t i = 0; i < g_live_count; i++) {
    const struct gp_module *module = &g_segment->modules[g_live[i]];
    if (module->start == start && module->end == end && same_path (module->path, info)) {
      g_seen[i] = true;
      return 0;
    }
  }
  append (pass, info, start, end);
  return 0;
}

/* Marks modules as removed that this pass has not seen. */
static void
sweep (struct pass *pass)
{
  uint32_t kept = 0;
  for (uint32_t i = 0; i < g_live_count; i++) {
    if (g_seen[i]) {
      g_live[kept++] = g_live[i];
      continue;
    }
    gp_store (&g_segment->modules[g_live[i]].removed, pass->generation);
    pass->changed = pass->removed = true;
  }
  g_live_count = kept;
}

/* Waits until no handler reads modules, a second at most. If a fault ends a handler and the host survives that, its
 * reader stays counted for ever: it is waited for once. */
static bool
wait_for_readers (void)
{
  static _Atomic uint32_t lost;
  static const struct timespec pause = { .tv_nsec = 50000 };
  uint64_t start_ns = gp_clock_ns (CLOCK_MONOTONIC);
  for (;;) {
    uint32_t readers = atomic_load (&g_modules_readers);
    if (readers == 0) {
      atomic_store (&lost, 0);
      return true;
    }
    uint64_t most_ms = readers > atomic_load (&lost) ? CLOSE_WAIT_MS : LOST_WAIT_MS;
    if (gp_clock_ns (CLOCK_MONOTONIC) - start_ns >= most_ms * 1000000) {
      atomic_store (&lost, readers);
      return false;
    }
    gp_syscall (SYS_nanosleep, &pause, NULL); /* the function is a cancellation point, which dlclose is not */
  }
}

static void
publish (struct gp_snapshot *snapshot)
{
  struct gp_snapshot *old = atomic_exchange (&g_modules_snapshot, snapshot);
  /* Not freed where a handler may still read it: a deliberate leak of some KiB. */
  if (old != NULL && wait_for_readers ())
    free (old);
}

static int
count_modules (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) info, (void) size;
  ++*(uint32_t *) data;
  return 0;
}

static struct gp_snapshot *
new_snapshot (uint32_t *room)
{
  *room = 0;
  if (atomic_load (&g_modules_find_object) != NULL)
    return NULL;
  dl_iterate_phdr (count_modules, room);
  *room += 16; /* for modules that are loaded meanwhile */
  struct gp_snapshot *snapshot = malloc (sizeof *snapshot + *room * sizeof snapshot->modules[0]);
  if (snapshot != NULL)
    snapshot->n = 0;
  return snapshot;
}

static void
find_loader_function (void)
{
  union
  {
    void *symbol;
    int (*function) (void *, struct gp_loader_object *);
  } find = { .symbol = dlsym (RTLD_DEFAULT, "_dl_find_object") };
  atomic_store (&g_modules_find_object, find.function);
}

void
gp_modules_refresh (void)
{
  /* Outside g_lock: dlsym takes the loader's lock, which a thread inside a constructor holds already. */
  pthread_once (&g_once, find_loader_function);
  pthread_mutex_lock (&g_lock);
  struct pass pass = { .generation = g_segment->generation + 1, .unchanged_list = g_live_count > 0 };
  pass.snapshot = new_snapshot (&pass.room);
  memset (g_seen, 0, g_live_count * sizeof g_seen[0]);
  dl_iterate_phdr (update_module, &pass);
  if (pass.unchanged_list) {
    free (pass.snapshot);
  } else {
    sweep (&pass);
    if (pass.snapshot != NULL)
      publish (pass.snapshot);
    if (pass.removed)
      atomic_fetch_add (&g_modules_epoch, 1);
    if (pass.changed)
      gp_store_release (&g_segment->generation, pass.generation);
  }
  pthread_mutex_unlock (&g_lock);
}

void
gp_modules_close_begin (void)
{
  atomic_fetch_add (&g_modules_closing, 1);
  wait_for_readers ();
}

void
gp_modules_close_end (void)
{
  if (g_segment != NULL && atomic_load (&g_active)) /* not in a child that a destructor has forked */
    gp_modules_refresh ();
  atomic_fetch_sub (&g_modules_closing, 1);
}
