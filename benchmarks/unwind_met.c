/* SPDX-License-Identifier: MIT */
/* unwind_met.c: preloaded into a program: samples it by a CPU timer and times each walk as it is met in a run, caches
 * cold. GP_BENCH_UNWINDER says by which unwinder: 0 ours, 1 libgcc's, 2 libunwind's; 3 all of them on each sample,
 * where times mean nothing, since each leaves the caches warmer for the next. Ours gets no boundaries: each stack must
 * reach the thread's root. At exit one line a walk goes to the file GP_BENCH_OUTPUT.pid: unwinder, ns, depth, how it
 * ended.
 *
 * libgcc's and libunwind's own end is judged alike: they reached the root if their last frames are those of a thread's
 * or the program's start.
 *
 * Context: benchmarks only; the handler calls what is not async-signal-safe (libgcc, libunwind).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#if __has_include(<libunwind.h>)
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#define HAS_LIBUNWIND 1
#endif
#include "shim/modules/modules.h"
#include "shim/signal/module_lookup.h"
#include "shim/base/segment.h"
#include "shim/signal/unwind_regs.h"

enum
{
  SAMPLES_MAX = 100000,
  FRAMES_MAX = 256,
  INTERVAL_US = 4000,
  HANDLER_FRAMES = 4 /* the walk's function, walk(), the handler, the kernel's frame */
};

enum unwinder
{
  OURS,
  LIBGCC,
  LIBUNWIND,
  ALL
};

extern void *__libc_stack_end;

static struct
{
  uint32_t ns, depth;
  uint8_t unwinder, end;
} g_samples[SAMPLES_MAX];
static _Atomic uint32_t g_count;
static enum unwinder g_unwinder;
static int (*g_backtrace) (void **, int); /* libc's; libunwind has another of that name */
static __thread uint64_t t_frames[FRAMES_MAX] __attribute__ ((tls_model ("initial-exec")));
static __thread bool t_busy __attribute__ ((tls_model ("initial-exec")));
static uintptr_t g_start_code[2], g_libc[2]; /* of the executable, of libc: where threads and programs begin */

static uintptr_t
thread_pointer (void)
{
#if defined(__x86_64__)
  uintptr_t pointer;
  __asm__ ("mov %%fs:0, %0" : "=r"(pointer));
  return pointer;
#else
  return (uintptr_t) __builtin_thread_pointer ();
#endif
}

static uint32_t
walk_ours (const ucontext_t *context, uint8_t *end)
{
  struct gp_regs regs = gp_regs_of (context);
  bool main_thread = getpid () == (pid_t) syscall (SYS_gettid);
  struct gp_stack stack = { .lo = regs.sp & ~(uintptr_t) 4095,
    .hi = main_thread ? (uintptr_t) __libc_stack_end : thread_pointer () };
  struct gp_walk_result result;
  gp_unwind (&regs, &stack, NULL, 0, NULL, t_frames, FRAMES_MAX, &result);
  *end = (uint8_t) result.end;
  return result.depth;
}

static uint8_t
judge (uintptr_t last)
{
  bool root = (last >= g_start_code[0] && last < g_start_code[1]) || (last >= g_libc[0] && last < g_libc[1]);
  return root ? GP_STACK_CFI : GP_STACK_TRUNCATED;
}

__attribute__ ((noinline)) static uint32_t
walk_libgcc (uint8_t *end)
{
  void *frames[FRAMES_MAX];
  int n = g_backtrace (frames, FRAMES_MAX);
  *end = judge ((uintptr_t) frames[n - 1]);
  return (uint32_t) n - HANDLER_FRAMES;
}

#if defined(HAS_LIBUNWIND)
/* Its quick way, with a cache of its own. */
__attribute__ ((noinline)) static uint32_t
walk_libunwind (uint8_t *end)
{
  void *frames[FRAMES_MAX];
  int n = unw_backtrace (frames, FRAMES_MAX);
  *end = judge ((uintptr_t) frames[n - 1]);
  return (uint32_t) n - HANDLER_FRAMES;
}
#endif

__attribute__ ((noinline)) static void
walk (enum unwinder unwinder, const ucontext_t *context)
{
  uint32_t index = atomic_fetch_add (&g_count, 1), depth;
  uint8_t end = 0;
  if (index >= SAMPLES_MAX)
    return;
  /* CPU time: that others run meanwhile is not the walk's cost. The call itself adds some 0.4 us. */
  uint64_t start = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
  if (unwinder == OURS)
    depth = walk_ours (context, &end);
#if defined(HAS_LIBUNWIND)
  else if (unwinder == LIBUNWIND)
    depth = walk_libunwind (&end);
#endif
  else
    depth = walk_libgcc (&end);
  g_samples[index].ns = (uint32_t) (gp_clock_ns (CLOCK_THREAD_CPUTIME_ID) - start);
  g_samples[index].depth = depth;
  g_samples[index].unwinder = (uint8_t) unwinder;
  g_samples[index].end = end;
}

static void
take_sample (int number, siginfo_t *info, void *context)
{
  (void) number, (void) info;
  if (t_busy)
    return;
  t_busy = true;
  for (enum unwinder unwinder = OURS; unwinder < ALL; unwinder++)
    if (g_unwinder == ALL || g_unwinder == unwinder)
      walk (unwinder, context);
  t_busy = false;
}

static void
find_range (const char *symbol, uintptr_t range[2])
{
  void *address = dlsym (RTLD_DEFAULT, symbol);
  for (uint32_t i = 0; i < g_segment->module_count; i++)
    if (g_segment->modules[i].start <= (uintptr_t) address && (uintptr_t) address < g_segment->modules[i].end) {
      range[0] = g_segment->modules[i].start;
      range[1] = g_segment->modules[i].end;
    }
}

/* Plugins come while the program runs; the product refreshes after each dlopen. */
static void *
refresh (void *unused)
{
  sigset_t all;
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, NULL);
  for (;;) {
    gp_modules_refresh ();
    usleep (20000);
  }
  return unused;
}

__attribute__ ((constructor)) static void
start (void)
{
  int fd;
  void *warm[4];
  pthread_t thread;
  if (getenv ("GP_BENCH_OUTPUT") == NULL || gp_segment_create (&fd) != 0)
    return;
  if (getenv ("GP_BENCH_UNWINDER") != NULL)
    g_unwinder = (enum unwinder) atoi (getenv ("GP_BENCH_UNWINDER"));
  gp_modules_refresh ();
  g_start_code[0] = g_segment->modules[0].start;
  g_start_code[1] = g_segment->modules[0].end;
  find_range ("pthread_create", g_libc);
  g_backtrace = (int (*) (void **, int)) dlsym (dlopen ("libc.so.6", RTLD_NOW), "backtrace");
  g_backtrace (warm, 4);
  pthread_create (&thread, NULL, refresh, NULL);
  struct sigaction action = { .sa_sigaction = take_sample, .sa_flags = SA_SIGINFO | SA_RESTART };
  struct itimerval interval = { { 0, INTERVAL_US }, { 0, INTERVAL_US } };
  sigaction (SIGPROF, &action, NULL);
  setitimer (ITIMER_PROF, &interval, NULL);
}

__attribute__ ((destructor)) static void
stop (void)
{
  if (g_segment == NULL)
    return;
  struct itimerval never = { 0 };
  setitimer (ITIMER_PROF, &never, NULL);
  char path[4096];
  snprintf (path, sizeof path, "%s.%d", getenv ("GP_BENCH_OUTPUT"), getpid ());
  FILE *output = fopen (path, "w");
  uint32_t n = atomic_load (&g_count);
  for (uint32_t i = 0; output != NULL && i < n && i < SAMPLES_MAX; i++)
    if (g_samples[i].depth > 0)
      fprintf (output, "%u %u %u %u\n", g_samples[i].unwinder, g_samples[i].ns, g_samples[i].depth, g_samples[i].end);
  if (output != NULL)
    fclose (output);
}
