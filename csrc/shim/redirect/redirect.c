/* SPDX-License-Identifier: MIT */
/* redirect.c: when passes over the loaded modules are made, and what they must beware of.
 *
 * Hazard: locks of the loader. dlopen and dlclose hold the load lock while constructors and destructors run. Those may
 * make threads and wait for them. A pass on such a thread (it called pthread_create) would wait for ever if it took the
 * load lock, as dlopen(RTLD_NOLOAD) and dlsym do. The list lock, under dl_iterate_phdr, is held for short only: while a
 * module is entered or unmapped. So a pass does all its work under the list lock, where no module is unloaded and no
 * other pass runs. It calls nothing but mprotect and futex there, and takes no lock of ours. One
 * deadlock remains: a dl_iterate_phdr callback of the host waits for a mutex, and the holder of that mutex makes a
 * thread. Any dlopen under that mutex would deadlock as well.
 *
 * Hazard: the loader lists a module before it has relocated it, and makes its RELRO pages read-only at the end. A write
 * to them before that faults, or is lost. Two signs show that a module is ready: its RELRO pages are read-only, or the
 * slot, which lies elsewhere, holds what relocation puts there. A module that shows none is left over for a later pass.
 * Some never show one (no RELRO, or pages that somebody made writable): gp_redirect_settle() holds such a module by
 * dlopen(RTLD_NOLOAD), which waits until the loader is done with it. No thread waits for the thread that does so.
 *
 * Hazard: fork. The child's list lock stays locked if a pass of another thread held it. So the handler before the fork
 * waits for passes to end, at most GP_FORK_WAIT_MS, and new passes give up at once.
 *
 * Context: lifecycle, on the host's threads and the poller.
 */
#define _GNU_SOURCE
#include "shim/redirect/redirect.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include "shim/redirect/redirect_walk.h"
#include "shared/raw_syscall.h"

enum
{
  GP_SETTLE_MODULES = 256, /* in one call */
  GP_FORK_WAIT_MS = 100
};

_Atomic bool g_redirect_at_loader;

static _Atomic int g_passes, g_forks;

static void
make_pass (struct gp_pass *pass)
{
  int saved_errno = errno;
  /* Of this pass and a fork that is coming at least one sees the other: both write their own count first (seq_cst). */
  atomic_fetch_add (&g_passes, 1);
  if (atomic_load (&g_forks) == 0)
    dl_iterate_phdr (gp_redirect_walk, pass);
  else
    atomic_store (&g_redirect_pending, true);
  atomic_fetch_sub (&g_passes, 1);
  errno = saved_errno;
}

void
gp_redirect_pass (void)
{
  struct gp_pass pass = { .from = GP_FROM_LAST_PASS };
  make_pass (&pass);
}

/* Takes a reference to the module that the pass left over; NULL: it is gone, or it cannot be opened by its name.
 * *readiness: what the next pass may rely on. */
static void *
hold_left_over (const struct gp_pass *pass, enum gp_readiness *readiness)
{
  struct link_map *map = NULL;
  atomic_store (&g_redirect_at_loader, true);
  void *handle = dlopen (pass->left_name, RTLD_LAZY | RTLD_NOLOAD);
  atomic_store (&g_redirect_at_loader, false);
  bool held = handle != NULL && dlinfo (handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_addr == pass->left.bias
              && (uintptr_t) map->l_ld == pass->left.dynamic;
  *readiness = held ? GP_READY : GP_NEVER_READY;
  return handle;
}

static void
let_go (void *handle)
{
  atomic_store (&g_redirect_at_loader, true);
  if (handle != NULL)
    dlclose (handle);
  atomic_store (&g_redirect_at_loader, false);
}

void
gp_redirect_settle (void)
{
  static char name[PATH_MAX];
  static unsigned long long adds_before, adds_settled;
  struct gp_pass pass = { .from = GP_FROM_LAST_PASS };
  make_pass (&pass);
  /* A module that came since the last call is likely to be ready by the next one. */
  bool waited = pass.adds == adds_before;
  adds_before = pass.adds;
  if (!waited || adds_settled == pass.adds)
    return;
  /* Every module gets a second pass: a thread that was binding a slot while it was redirected has set it back. */
  pass = (struct gp_pass) { .from = adds_settled, .left_name = name };
  make_pass (&pass);
  for (int n = 0; pass.result == GP_PASS_LEFT_OVER && n < GP_SETTLE_MODULES; n++) {
    struct gp_pass next = { .from = GP_FROM_LAST_PASS, .known = pass.left, .left_name = name };
    void *handle = hold_left_over (&pass, &next.readiness);
    make_pass (&next);
    let_go (handle);
    pass = next;
  }
  if (pass.result == GP_PASS_COMPLETE)
    adds_settled = adds_before;
}

static void
before_fork (void)
{
  const struct timespec tenth = { .tv_nsec = 100000 };
  atomic_fetch_add (&g_forks, 1);
  for (int i = 0; i < 10 * GP_FORK_WAIT_MS && atomic_load (&g_passes) > 0; i++)
    gp_syscall (SYS_nanosleep, &tenth, NULL); /* the function is a cancellation point, which fork is not */
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
gp_redirect_init (const struct gp_redirect *table, size_t n)
{
  for (size_t i = 0; i < n && i < GP_REDIRECTS_MAX; i++)
    g_redirect_rows[g_redirect_row_count++] = table[i];
  pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child);
}
