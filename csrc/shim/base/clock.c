/* SPDX-License-Identifier: MIT */
/* clock.c: reads clocks by the vDSO's function, and clocks of CPU time, which only the kernel has, by the system call.
 *
 * Context: every one, but for gp_clock_init(), which is lifecycle.
 */
#define _GNU_SOURCE
#include "shim/base/clock.h"

#include <dlfcn.h>
#include <stddef.h>
#include <time.h>
#include "shared/raw_syscall.h"

#if defined(__x86_64__)
#define VDSO_NAME "__vdso_clock_gettime"
#else
#define VDSO_NAME "__kernel_clock_gettime"
#endif

/* Both immutable after gp_clock_init(). */
static int (*g_vdso_clock_gettime) (clockid_t, struct timespec *); /* NULL: none, as under valgrind */
static bool g_is_faked;

static uint64_t
to_ns (struct timespec time)
{
  return (uint64_t) time.tv_sec * 1000000000U + (uint64_t) time.tv_nsec;
}

static bool
is_of_cpu_time (int clock)
{
  return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

uint64_t
gp_clock_ns (int clock)
{
  struct timespec now;
  long failed = g_vdso_clock_gettime == NULL || is_of_cpu_time (clock) ? gp_syscall (SYS_clock_gettime, clock, &now)
                                                                       : g_vdso_clock_gettime (clock, &now);
  return failed != 0 ? 0 : to_ns (now);
}

/* Reads one clock three times. If libc's is the kernel's, its time lies between the two of the kernel. */
static bool
differs_in_libc (clockid_t clock)
{
  struct timespec theirs = { 0 };
  uint64_t before = gp_clock_ns (clock);
  clock_gettime (clock, &theirs);
  uint64_t after = gp_clock_ns (clock);
  return to_ns (theirs) < before || to_ns (theirs) > after;
}

void
gp_clock_init (void)
{
  void *vdso = dlopen ("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (vdso != NULL)
    *(void **) &g_vdso_clock_gettime = dlsym (vdso, VDSO_NAME);
  g_is_faked = differs_in_libc (CLOCK_MONOTONIC) || differs_in_libc (CLOCK_REALTIME);
}

bool
gp_clock_is_faked (void)
{
  return g_is_faked;
}
