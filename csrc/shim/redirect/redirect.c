/* SPDX-License-Identifier: MIT */
/* redirect.c: when passes over the loaded modules are made, and what they must beware of.
 *
 * Hazard: locks of the loader. dlopen and dlclose hold the load lock while constructors and destructors run; those may
 * make threads and wait for them. A pass on such a thread (it called pthread_create) that took the load lock, as
 * dlopen(RTLD_NOLOAD) and dlsym do, would wait for ever. The list lock, under dl_iterate_phdr, is held for short only:
 * while a module is entered or unmapped. So a pass does all its work under the list lock, where no module goes away and
 * no other pass runs, calls nothing but mprotect and futex there, and takes no lock of ours. What remains: a host whose
 * own dl_iterate_phdr callback waits for a mutex, while the holder of that mutex makes a thread, waits for us as well
 * as for itself; any dlopen under that mutex would do the same.
 *
 * Hazard: the loader lists a module before it has relocated it, and makes its RELRO pages read-only at the end; writing
 * to them too early is a fault, or lost. Signs that a module is ready: its RELRO pages are read-only, or the slot,
 * which lies elsewhere, holds what relocation puts there. A module that shows none is left for a later pass, and where
 * it never does (no RELRO, or made writable by somebody), gp_redirect_settle() holds it by dlopen(RTLD_NOLOAD), which
 * waits for its loader, on a thread that nobody waits for.
 *
 * Hazard: fork. The child's list lock stays locked if a pass of another thread held it: the handler before the fork
 * waits for passes to end, at most GP_FORK_WAIT_MS, while new ones give up at once instead of waiting for it.
 *
 * Context: lifecycle, on the host's threads and the poller.
 */
#define _GNU_SOURCE
#include "shim/redirect/redirect.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
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
run (struct gp_pass *pass)
{
  int saved_errno = errno;
  /* Either we see the fork that is coming, or it sees us: both sides write their own count first (seq_cst). */
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
  struct gp_pass pass = { 0 };
  run (&pass);
}

/* Makes a pass while the module that was left over is held; forgets about it if it is gone or not to be had. */
static void
settle_one (struct gp_pass *pass)
{
  struct link_map *map = NULL;
  atomic_store (&g_redirect_at_loader, true);
  void *handle = dlopen (pass->left_name, RTLD_LAZY | RTLD_NOLOAD);
  atomic_store (&g_redirect_at_loader, false);
  bool held = handle != NULL && dlinfo (handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_addr == pass->left_bias
              && (uintptr_t) map->l_ld == pass->left_dynamic;
  *pass = (struct gp_pass) {
    .held_bias = pass->left_bias,
    .held_dynamic = pass->left_dynamic,
    .held = held,
    .given_up = !held,
    .left_name = pass->left_name,
  };
  run (pass);
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
  struct gp_pass pass = { .left_name = name };
  run (&pass);
  /* A module that came since the last call is likely to be ready by the next one. */
  bool waited = pass.adds == adds_before;
  adds_before = pass.adds;
  if (!waited || adds_settled == pass.adds)
    return;
  /* Every module is looked at twice: a thread that was binding a slot while it was redirected has set it back. */
  pass = (struct gp_pass) { .again = true, .adds_done = adds_settled, .left_name = name };
  run (&pass);
  for (int n = 0; pass.left_over && n < GP_SETTLE_MODULES; n++)
    settle_one (&pass);
  adds_settled = pass.left_over ? adds_settled : adds_before;
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
