/* SPDX-License-Identifier: MIT */
/* test_live.c: real stacks of this program: the same frames as libgcc's unwinder gives, no dead frames across code
 * without CFI, and no trouble while libraries come and go.
 *
 * argv[1]: the library made of plugin.c.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include "live.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum
{
  SAMPLES = 120
};

static const char *g_plugin;
static _Atomic unsigned g_samples, g_different, g_incomplete, g_dead, g_guessed;
static char g_report[4096]; /* the first difference */

typedef int (*work_function) (int, int (*) (int));

__attribute__ ((noinline)) static int
deeper (int n)
{
  volatile int sum = n;
  if (n > 0)
    sum += deeper (n - 1);
  for (int i = 0; i < 200; i++)
    sum += i;
  return sum;
}

static int
call_back (int value)
{
  return value + (deeper (value % 16) & 1);
}

static void
work (unsigned samples, work_function plugin_work)
{
  time_t limit = time (NULL) + 20;
  while (atomic_load (&g_samples) < samples && time (NULL) < limit) {
    char text[256];
    snprintf (text, sizeof text, "%d %f %s", 12, 3.4, "five");
    free (malloc (1000));
    deeper (20);
    plugin_work (1, call_back);
  }
}

static void
compare_with_libgcc (const struct gp_regs *regs, const ucontext_t *context)
{
  (void) context;
  uint64_t frames[LIVE_FRAMES] = { 0 };
  void *theirs[LIVE_FRAMES];
  struct gp_walk_result result;
  gp_unwind (regs, &t_stack, NULL, 0, NULL, frames, LIVE_FRAMES, &result);
  int n = backtrace (theirs, LIVE_FRAMES), skip = 0;
  while (skip < n && (uintptr_t) theirs[skip] != regs->pc)
    skip++;
  if (skip == n) /* libgcc could not cross the signal frame */
    return;
  atomic_fetch_add (&g_samples, 1);
  if (result.end != GP_STACK_CFI)
    atomic_fetch_add (&g_incomplete, 1);
  bool same = result.depth == (uint32_t) (n - skip);
  for (uint32_t i = 0; same && i < result.depth; i++)
    same = frames[i] == (uintptr_t) theirs[skip + (int) i];
  if (same || atomic_fetch_add (&g_different, 1) > 0)
    return;
  int at = 0;
  for (uint32_t i = 0; i < result.depth || (int) i < n - skip; i++)
    at += snprintf (g_report + at, sizeof g_report - (size_t) at, "  %lx  libgcc %p\n",
        i < result.depth ? (unsigned long) frames[i] : 0UL, (int) i < n - skip ? theirs[skip + (int) i] : NULL);
}

static void *
work_on_thread (void *function)
{
  live_enter ();
  work (2 * atomic_load (&g_samples), (work_function) function);
  return NULL;
}

static work_function
load_plugin (void **handle)
{
  *handle = dlopen (g_plugin, RTLD_NOW);
  if (*handle == NULL) {
    printf ("%s\n", dlerror ());
    exit (1);
  }
  gp_modules_refresh ();
  return (work_function) dlsym (*handle, "plugin_work");
}

static void
compare (void)
{
  void *handle, *warm[4];
  backtrace (warm, 4); /* loads libgcc */
  work_function plugin_work = load_plugin (&handle);
  g_samples = g_different = g_incomplete = 0;
  live_start (compare_with_libgcc, true);
  work (SAMPLES, plugin_work);
  pthread_t thread;
  pthread_create (&thread, NULL, work_on_thread, (void *) plugin_work);
  pthread_join (thread, NULL);
  live_stop ();
  dlclose (handle);
  gp_modules_refresh ();
  CHECK (g_samples >= SAMPLES);
  CHECK_EQUAL (g_different, 0);
  CHECK_EQUAL (g_incomplete, 0);
  if (g_different > 0)
    printf ("%s", g_report);
}

static void
stacks_are_those_of_libgcc (void)
{
  compare ();
}

static void
the_snapshot_serves_older_libcs (void)
{
  int (*find) (void *, struct gp_loader_object *) = atomic_exchange (&g_modules_find_object, NULL);
  compare ();
  CHECK (atomic_load (&g_modules_snapshot) != NULL);
  atomic_store (&g_modules_find_object, find);
}

#if defined(__x86_64__)
/* Without CFI: locals over whatever was there, its caller's bp used for something else, then a long loop. */
__asm__ (".pushsection .text\n"
         ".type bare_spin, @function\n"
         "bare_spin:\n"
         "  push %rbx\n"
         "  push %rbp\n"
         "  sub $1024, %rsp\n"
         "  xor %ebp, %ebp\n"
         "1: dec %rdi\n"
         "  jnz 1b\n"
         "  add $1024, %rsp\n"
         "  pop %rbp\n"
         "  pop %rbx\n"
         "  ret\n"
         ".size bare_spin, . - bare_spin\n"
         ".popsection\n");
void bare_spin (long n);

/* Leaves frames behind: of itself and what it calls, down to where bare_spin's locals will lie. */
__attribute__ ((noinline)) static int
dead_frames (int n)
{
  volatile char room[64];
  memset ((char *) room, n, sizeof room);
  return n > 0 ? dead_frames (n - 1) + room[3] : room[5];
}

static uintptr_t g_hi_of_dead;

static void
look_for_dead_frames (const struct gp_regs *regs, const ucontext_t *context)
{
  (void) context;
  uint64_t frames[LIVE_FRAMES] = { 0 };
  struct gp_walk_result result;
  gp_unwind (regs, &t_stack, NULL, 0, NULL, frames, LIVE_FRAMES, &result);
  if (regs->pc < (uintptr_t) bare_spin || regs->pc >= (uintptr_t) bare_spin + 40)
    return;
  atomic_fetch_add (&g_samples, 1);
  if (result.end != GP_STACK_SCAN)
    atomic_fetch_add (result.end == GP_STACK_GUESSED ? &g_guessed : &g_incomplete, 1);
  for (uint32_t i = 0; i < result.depth; i++)
    if (frames[i] >= (uintptr_t) dead_frames && frames[i] < g_hi_of_dead)
      atomic_fetch_add (&g_dead, 1);
}

__attribute__ ((noinline)) static void
calls_bare_code (void)
{
  bare_spin (300000);
  __asm__ volatile ("");
}

static void
no_dead_frame_appears (void)
{
  Dl_info info;
  CHECK (dladdr ((void *) dead_frames, &info) != 0);
  g_hi_of_dead = (uintptr_t) dead_frames + 256;
  g_samples = g_incomplete = g_dead = g_guessed = 0;
  live_start (look_for_dead_frames, true);
  time_t limit = time (NULL) + 20;
  while (g_samples < SAMPLES && time (NULL) < limit) {
    dead_frames (16);
    calls_bare_code ();
  }
  live_stop ();
  CHECK (g_samples >= SAMPLES);
  CHECK_EQUAL (g_dead, 0);
  CHECK_EQUAL (g_guessed, 0);
  CHECK_EQUAL (g_incomplete, 0);
}
#endif

static void
only_walk (const struct gp_regs *regs, const ucontext_t *context)
{
  (void) context;
  uint64_t frames[LIVE_FRAMES] = { 0 };
  struct gp_walk_result result;
  gp_unwind (regs, &t_stack, NULL, 0, NULL, frames, LIVE_FRAMES, &result);
  atomic_fetch_add (&g_samples, 1);
}

static _Atomic bool g_storm;

static void *
load_and_unload (void *unused)
{
  (void) unused;
  live_enter ();
  while (atomic_load (&g_storm)) {
    void *handle;
    work_function plugin_work = load_plugin (&handle);
    plugin_work (20, call_back);
    gp_modules_close_begin ();
    dlclose (handle);
    gp_modules_close_end ();
  }
  return NULL;
}

static void *
live_briefly (void *unused)
{
  live_enter ();
  deeper (30);
  return unused;
}

static void
libraries_and_threads_come_and_go (void)
{
  pthread_t loaders[2];
  uint32_t modules = g_segment->module_count, generation = gp_modules_generation ();
  g_samples = 0;
  atomic_store (&g_storm, true);
  live_start (only_walk, true);
  for (int i = 0; i < 2; i++)
    pthread_create (&loaders[i], NULL, load_and_unload, NULL);
  time_t limit = time (NULL) + 20;
  while (g_samples < SAMPLES && time (NULL) < limit) {
    pthread_t thread;
    pthread_create (&thread, NULL, live_briefly, NULL);
    pthread_join (thread, NULL);
    deeper (50);
  }
  atomic_store (&g_storm, false);
  for (int i = 0; i < 2; i++)
    pthread_join (loaders[i], NULL);
  live_stop ();
  CHECK (g_samples >= SAMPLES);
  CHECK (gp_modules_generation () > generation);
  CHECK (g_segment->module_count <= modules + 8); /* the same few places again and again */
  CHECK_EQUAL (atomic_load (&g_modules_readers), 0);
}

static void
modules_are_listed (void)
{
  uint32_t generation = gp_modules_generation ();
  char exe[512] = { 0 };
  CHECK (readlink ("/proc/self/exe", exe, sizeof exe - 1) > 0);
  const struct gp_module *first = &g_segment->modules[0];
  CHECK (strcmp (g_segment->strings + first->path, exe) == 0);
  CHECK (first->start <= (uintptr_t) modules_are_listed && (uintptr_t) modules_are_listed < first->end);
  gp_modules_refresh ();
  CHECK_EQUAL (gp_modules_generation (), generation); /* nothing happened */
  void *handle;
  work_function plugin_work = load_plugin (&handle);
  CHECK_EQUAL (gp_modules_generation (), generation + 1);
  uint32_t index = g_segment->module_count - 1;
  while (index > 0 && g_segment->modules[index].removed != 0)
    index--;
  struct gp_module *plugin = NULL;
  for (uint32_t i = 0; i < g_segment->module_count; i++)
    if (strcmp (g_segment->strings + g_segment->modules[i].path, g_plugin) == 0)
      plugin = &g_segment->modules[i];
  CHECK (plugin != NULL && plugin->removed == 0);
  if (plugin == NULL)
    return;
  CHECK (plugin->start <= (uintptr_t) plugin_work && (uintptr_t) plugin_work < plugin->end);
  CHECK (strcmp (g_segment->strings + plugin->build_id, "0123456789abcdef") == 0);
  uint32_t epoch = g_modules_epoch;
  dlclose (handle);
  gp_modules_refresh ();
  CHECK_EQUAL (plugin->removed, generation + 2);
  CHECK (g_modules_epoch != epoch);
  bool vdso = false;
  for (uint32_t i = 0; i < g_segment->module_count; i++)
    vdso |= strcmp (g_segment->strings + g_segment->modules[i].path, "[vdso]") == 0;
  CHECK (vdso);
}

int
main (int argc, char **argv)
{
  static const struct check_test tests[] = {
    CHECK_TEST (modules_are_listed),
    CHECK_TEST (stacks_are_those_of_libgcc),
    CHECK_TEST (the_snapshot_serves_older_libcs),
#if defined(__x86_64__)
    CHECK_TEST (no_dead_frame_appears),
#endif
    CHECK_TEST (libraries_and_threads_come_and_go),
  };
  int fd;
  if (argc < 2 || gp_segment_create (&fd) != 0)
    return 2;
  g_plugin = argv[1];
  live_enter ();
  gp_modules_refresh ();
  return check_main (argc - 1, argv + 1, tests, sizeof tests / sizeof tests[0]);
}
