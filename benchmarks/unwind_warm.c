/* SPDX-License-Identifier: MIT */
/* unwind_warm.c: the same stack walked again and again, and after the caches were filled with something else. Prints a
 * line for each result: unwinder, what, frames, ns a walk.
 *
 * Context: benchmarks only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#if __has_include(<libunwind.h>)
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#define HAS_LIBUNWIND 1
#endif
#include "shim/modules/modules.h"
#include "shim/signal/module_lookup.h"
#include "walks.h"

enum
{
  FRAMES_MAX = 256,
  WARM_WALKS = 3000,
  COLD_WALKS = 40,
  LEVEL2_BYTES = 4 << 20,
  LEVEL3_BYTES = 64 << 20
};

static struct gp_stack g_stack;
static int (*g_backtrace) (void **, int); /* libc's; libunwind has another of that name */
static uint64_t g_frames[FRAMES_MAX];
static volatile uint8_t g_rubbish[LEVEL3_BYTES];

static uint32_t
walk_ours (const ucontext_t *context)
{
  struct gp_regs regs = gp_regs_of (context);
  struct gp_walk_result result;
  gp_unwind (&regs, &g_stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &result);
  return result.depth;
}

static uint32_t
walk_libgcc (const ucontext_t *context)
{
  void *frames[FRAMES_MAX];
  (void) context;
  return (uint32_t) g_backtrace (frames, FRAMES_MAX);
}

#if defined(HAS_LIBUNWIND)
/* Its quick way, with a cache of its own; by unw_step() it takes 30 times as long. */
static uint32_t
walk_libunwind (const ucontext_t *context)
{
  void *frames[FRAMES_MAX];
  (void) context;
  return (uint32_t) unw_backtrace (frames, FRAMES_MAX);
}
#endif

static void
fill_caches (size_t bytes)
{
  for (size_t i = 0; i < bytes; i += 64)
    g_rubbish[i]++;
}

static void
measure (const char *name, uint32_t (*walk) (const ucontext_t *), const ucontext_t *context)
{
  uint32_t frames = walk (context);
  uint64_t start = gp_clock_ns (CLOCK_MONOTONIC);
  for (int i = 0; i < WARM_WALKS; i++)
    walk (context);
  printf ("%s warm %u %.1f\n", name, frames, (double) (gp_clock_ns (CLOCK_MONOTONIC) - start) / WARM_WALKS);
  for (size_t bytes = LEVEL2_BYTES; bytes <= LEVEL3_BYTES; bytes *= LEVEL3_BYTES / LEVEL2_BYTES) {
    uint64_t ns[COLD_WALKS];
    for (int i = 0; i < COLD_WALKS; i++) {
      fill_caches (bytes);
      start = gp_clock_ns (CLOCK_MONOTONIC);
      walk (context);
      ns[i] = gp_clock_ns (CLOCK_MONOTONIC) - start;
    }
    printf ("%s cold%d %u %.1f\n", name, bytes == LEVEL2_BYTES ? 2 : 3, frames, (double) median_ns (ns, COLD_WALKS));
  }
}

static void
take_sample (int number, siginfo_t *info, void *context)
{
  (void) number, (void) info;
  measure ("ours", walk_ours, context);
  measure ("libgcc", walk_libgcc, context);
#if defined(HAS_LIBUNWIND)
  measure ("libunwind", walk_libunwind, context);
#endif
}

/* Three functions that call each other by turns, so that rules and frames differ. */
static int one (int depth);

__attribute__ ((noinline)) static int
three (int depth)
{
  volatile char room[200];
  room[0] = (char) depth;
  if (depth == 0)
    raise (SIGUSR1);
  return (depth > 0 ? one (depth - 1) : 0) + room[0];
}

__attribute__ ((noinline)) static int
two (int depth)
{
  volatile int room[depth + 1]; /* needs a frame pointer */
  room[depth] = depth;
  return (depth > 0 ? three (depth - 1) : 0) + room[depth];
}

__attribute__ ((noinline)) static int
one (int depth)
{
  volatile int room = depth;
  return (depth > 0 ? two (depth - 1) : 0) + room;
}

int
main (void)
{
  int fd;
  struct sigaction action = { .sa_sigaction = take_sample, .sa_flags = SA_SIGINFO };
  g_backtrace = (int (*) (void **, int)) dlsym (dlopen ("libc.so.6", RTLD_NOW), "backtrace");
  if (g_backtrace == NULL || gp_segment_create (&fd) != 0)
    return 1;
  gp_modules_refresh ();
  g_stack = own_stack ();
  sigaction (SIGUSR1, &action, NULL);
  static const int depths[] = { 5, 23, 92 };
  for (int i = 0; i < 3; i++)
    one (depths[i]);
  return 0;
}
