/* SPDX-License-Identifier: MIT */
/* redirect_walk.c: one pass: finds which modules define the names, then redirects the slots of modules that came.
 *
 * Context: lifecycle, under the loader's list lock. See "Hazard" in redirect.c.
 */
#define _GNU_SOURCE
#include "shim/redirect/redirect_walk.h"

#include <string.h>
#include "shim/redirect/redirect_elf.h"
#include "shim/redirect/redirect_slot.h"

/* Written under the list lock. Atomic and relaxed for the sake of sanitizers, which do not know that lock. */
static _Atomic unsigned long long g_adds_done;
static _Atomic bool g_busy; /* found set only by a signal handler of the host that interrupts a pass */
static uint32_t g_modules_redirected, g_slots_redirected;

static bool
is_ours (const struct gp_loaded_elf *elf)
{
  return gp_loaded_holds (elf, (uintptr_t) gp_redirect_walk, 1, PF_X);
}

/* Slots of these are never redirected: ours, libc, the loader and the vdso. */
static bool
is_exempt (const struct gp_loaded_elf *elf)
{
  return strcmp (elf->soname, "libc.so.6") == 0 || strncmp (elf->soname, "ld-linux", 8) == 0
         || strncmp (elf->soname, "linux-vdso", 10) == 0 || is_ours (elf);
}

static bool
is_for (const struct gp_redirect *row, const char *path, const char *soname)
{
  const char *slash = strrchr (path, '/'), *file = slash != NULL ? slash + 1 : path;
  if (row->replacement == NULL || row->only == NULL)
    return row->replacement != NULL;
  for (const char *const *name = row->only; *name != NULL; name++)
    if (strncmp (file, *name, strlen (*name)) == 0 || strncmp (soname, *name, strlen (*name)) == 0)
      return true;
  return false;
}

static uintptr_t
real_of (const struct gp_redirect *row)
{
  return (uintptr_t) __atomic_load_n (row->real, __ATOMIC_RELAXED); /* written under the list lock only */
}

/* Notes what a module defines. Not dlsym: it takes the load lock, and does not see what came by RTLD_LOCAL, as GLib
 * does in a Python host. Symbols that a module only refers to do not count, though dlsym gives them: in an executable
 * that is not position-independent they may be its own PLT entry, which goes through a slot that is redirected. */
static int
note_definitions (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct gp_pass *pass = data;
  struct gp_loaded_elf elf;
  pass->modules++;
  if (!gp_loaded_read (info, &elf) || is_ours (&elf))
    return 0;
  for (size_t i = 0; i < g_redirect_row_count; i++) {
    struct gp_definition *definition = &pass->definitions[i];
    struct gp_loaded_definition found = gp_loaded_find (&elf, g_redirect_rows[i].name);
    if (found.address == 0)
      continue;
    definition->kept = definition->kept || found.address == real_of (&g_redirect_rows[i]);
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

static void
publish_real (const struct gp_pass *pass)
{
  for (size_t i = 0; i < g_redirect_row_count; i++) {
    /* Anew where the module that held it was unloaded. */
    if (!pass->definitions[i].kept && pass->definitions[i].first != 0)
      __atomic_store_n (g_redirect_rows[i].real, (void *) pass->definitions[i].first, __ATOMIC_RELEASE);
  }
}

/* What the loader will bind an unbound slot to is certain in two cases: one module alone defines the name; or the first
 * that does is in the global scope, and no module searches another scope first. A process may hold two GLibs. */
static struct gp_slot_target
target_of (const struct gp_pass *pass, size_t row)
{
  const struct gp_definition *definition = &pass->definitions[row];
  bool global = definition->global && !atomic_load_explicit (&g_redirect_deepbind, memory_order_relaxed);
  uintptr_t real = real_of (&g_redirect_rows[row]);
  return (struct gp_slot_target) {
    .real = real,
    .replacement = (uintptr_t) g_redirect_rows[row].replacement,
    .certain = definition->first == real && !definition->versions && (global || !definition->several),
  };
}

static void
note_left_over (struct gp_pass *pass, size_t index, const struct dl_phdr_info *info, const struct gp_loaded_elf *elf)
{
  if (pass->result == GP_PASS_LEFT_OVER)
    return;
  pass->result = GP_PASS_LEFT_OVER;
  pass->left_index = index;
  pass->left = (struct gp_module_identity) { elf->bias, elf->dynamic };
  if (pass->left_name != NULL)
    strncpy (pass->left_name, info->dlpi_name, PATH_MAX - 1);
}

static enum gp_readiness
readiness_of (const struct gp_pass *pass, size_t index, const struct gp_loaded_elf *elf)
{
  if (elf->bias == pass->known.bias && elf->dynamic == pass->known.dynamic)
    return pass->readiness;
  return index == 0 ? GP_READY : GP_READY_BY_SIGNS; /* the program itself was relocated before any code ran */
}

enum
{
  LETTERS = 8
};

_Static_assert (GP_REDIRECTS_MAX <= 64, "a bit for each row");

/* The rows for one module, a bit each, by a letter of their names: nearly all of its slots are for no row at all. */
struct rows_by_letter
{
  uint64_t rows[LETTERS];
};

static unsigned
letter_of (const char *name)
{
  return (unsigned char) name[0] % LETTERS;
}

static struct rows_by_letter
rows_for (const char *path, const char *soname)
{
  struct rows_by_letter found = { { 0 } };
  for (size_t row = 0; row < g_redirect_row_count; row++)
    if (is_for (&g_redirect_rows[row], path, soname))
      found.rows[letter_of (g_redirect_rows[row].name)] |= UINT64_C (1) << row;
  return found;
}

/* The first row for the slot; false: there is none. */
static bool
find_row (const struct rows_by_letter *by_letter, const struct gp_loaded_slot *slot, size_t *row)
{
  for (uint64_t rows = by_letter->rows[letter_of (slot->name)]; rows != 0; rows &= rows - 1) {
    *row = (size_t) __builtin_ctzll (rows);
    if (gp_loaded_slot_is (slot, g_redirect_rows[*row].name))
      return true;
  }
  return false;
}

static int
redirect_module (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct gp_pass *pass = data;
  /* The list is in order of loading: what came since the last pass is among the last (adds - from) of it. */
  size_t index = pass->index++, behind = pass->modules - index;
  struct gp_loaded_elf elf;
  if (behind > pass->adds - pass->from || !gp_loaded_read (info, &elf) || is_exempt (&elf))
    return 0;
  enum gp_readiness readiness = readiness_of (pass, index, &elf);
  if (readiness == GP_NEVER_READY)
    return 0;
  bool ready = readiness == GP_READY, probed = ready, left_over = false;
  uint32_t redirected = 0;
  struct rows_by_letter rows = rows_for (info->dlpi_name, elf.soname);
  struct gp_loaded_cursor cursor = { 0, 0 };
  struct gp_loaded_slot slot;
  size_t row;
  while (gp_loaded_next_slot (&elf, &cursor, &slot)) {
    if (!find_row (&rows, &slot, &row))
      continue;
    if (!probed)
      ready = gp_slot_module_closed (&elf);
    probed = true;
    struct gp_slot_target target = target_of (pass, row);
    enum gp_slot_outcome outcome = gp_slot_redirect (&elf, &slot, &target, ready);
    redirected += outcome == GP_SLOT_REDIRECTED;
    left_over = left_over || outcome == GP_SLOT_NOT_READY;
  }
  if (left_over)
    note_left_over (pass, index, info, &elf);
  gp_add (&g_slots_redirected, redirected);
  gp_add (&g_modules_redirected, redirected > 0);
  return 0;
}

/* The outer walk is there for the list lock, which is recursive: the walks within see one and the same list. */
int
gp_redirect_walk (struct dl_phdr_info *info, size_t size, void *data)
{
  (void) size;
  struct gp_pass *pass = data;
  pass->adds = info->dlpi_adds;
  if (pass->from == GP_FROM_LAST_PASS)
    pass->from = atomic_load_explicit (&g_adds_done, memory_order_relaxed);
  if (pass->adds == pass->from) {
    pass->result = GP_PASS_COMPLETE;
    return 1;
  }
  if (atomic_exchange_explicit (&g_busy, true, memory_order_relaxed)) {
    atomic_store_explicit (&g_redirect_pending, true, memory_order_relaxed); /* a hint */
    return 1;
  }
  pass->result = GP_PASS_COMPLETE;
  dl_iterate_phdr (note_definitions, pass);
  publish_real (pass);
  dl_iterate_phdr (redirect_module, pass);
  bool left_over = pass->result == GP_PASS_LEFT_OVER;
  unsigned long long done = pass->adds - (left_over ? pass->modules - pass->left_index : 0);
  atomic_store_explicit (&g_adds_done, done, memory_order_relaxed);
  atomic_store_explicit (&g_redirect_pending, left_over, memory_order_relaxed); /* a hint */
  atomic_store_explicit (&g_busy, false, memory_order_relaxed);
  return 1;
}

uint32_t
gp_redirect_modules (void)
{
  return gp_load (&g_modules_redirected);
}

uint32_t
gp_redirect_slots (void)
{
  return gp_load (&g_slots_redirected);
}
