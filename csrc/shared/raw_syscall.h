/* SPDX-License-Identifier: MIT */
/* raw_syscall.h: system calls by the instruction itself.
 *
 * A preload may replace any function of libc, syscall() too: libfaketime returns other times, torsocks refuses calls
 * that it does not know. So calls that concern only us (clocks, ids, waits, timers, events, our own descriptors) go to
 * the kernel directly. Calls that others must see (memory, threads, loaded objects, signals' actions and masks) go
 * through libc: a sanitizer, for example, records them.
 *
 * Context: every one; a call is as safe as the system call behind it, and never a cancellation point.
 */
#ifndef GP_RAW_SYSCALL_H
#define GP_RAW_SYSCALL_H

#include <errno.h>
#include <sys/syscall.h>

/* As syscall(2): up to six arguments, integers or pointers; -1 and errno where the kernel refuses. MT-Safe | AS-Safe */
#define gp_syscall(...) GP_SYSCALL_PADDED (__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define GP_SYSCALL_PADDED(number, a, b, c, d, e, f, ...)                                                               \
  gp_syscall_all (number, (long) (a), (long) (b), (long) (c), (long) (d), (long) (e), (long) (f))

static inline long
gp_syscall_all (long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
  long result;
  register long r10 __asm__ ("r10") = d;
  register long r8 __asm__ ("r8") = e;
  register long r9 __asm__ ("r9") = f;
  __asm__ volatile ("syscall"
      : "=a"(result)
      : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
      : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__ ("x8") = number;
  register long x1 __asm__ ("x1") = b;
  register long x2 __asm__ ("x2") = c;
  register long x3 __asm__ ("x3") = d;
  register long x4 __asm__ ("x4") = e;
  register long x5 __asm__ ("x5") = f;
  register long result __asm__ ("x0") = a;
  __asm__ volatile ("svc #0" : "+r"(result) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif
  enum
  {
    ERRORS = 4096
  };
  if ((unsigned long) result <= -(unsigned long) ERRORS)
    return result;
  errno = (int) -result;
  return -1;
}

#endif
