/* SPDX-License-Identifier: MIT */
/* in_front.c: a preload that stands before libc as torsocks does: syscall() refuses what it does not expect of the
 * host, and names of libc that a profiler needs for its own descriptors are somebody else's.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

long
syscall (long number, ...)
{
  static const long refused[] = { SYS_gettid, SYS_getpid, SYS_tgkill, SYS_timer_create, SYS_timer_settime,
    SYS_perf_event_open, SYS_nanosleep, SYS_clock_gettime, SYS_getrusage };
  for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++)
    if (number == refused[i]) {
      errno = ENOSYS;
      return -1;
    }
  long (*next) (long, ...) = (long (*) (long, ...)) dlsym (RTLD_NEXT, "syscall");
  long a[6];
  va_list list;
  va_start (list, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg (list, long);
  va_end (list);
  return next (number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

pid_t
getpid (void)
{
  return 4711;
}

int
memfd_create (const char *name, unsigned flags)
{
  (void) name, (void) flags;
  errno = ENOSYS;
  return -1;
}
