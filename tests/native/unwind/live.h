/* SPDX-License-Identifier: MIT */
/* live.h: samples of the test program itself, by a CPU timer, as the shim takes them.
 *
 * Context: tests only.
 */
#ifndef GP_LIVE_H
#define GP_LIVE_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include "check.h"
#include "shim/modules/modules.h"
#include "shim/signal/module_lookup.h"
#include "shim/signal/unwind_regs.h"

enum
{
  LIVE_FRAMES = 128,
  LIVE_SIGNAL = SIGPROF
};

static __thread struct gp_stack t_stack;
static void (*_Atomic g_on_sample) (const struct gp_regs *, const ucontext_t *);

static inline void
live_handler (int number, siginfo_t *info, void *data)
{
  (void) number, (void) info;
  const ucontext_t *context = data;
  struct gp_regs regs = gp_regs_of (context);
  void (*on_sample) (const struct gp_regs *, const ucontext_t *) = atomic_load (&g_on_sample);
  if (on_sample != NULL && t_stack.hi != 0)
    on_sample (&regs, context);
}

/* Each sampled thread calls this first. */
static inline void
live_enter (void)
{
  pthread_attr_t attributes;
  void *lowest;
  size_t bytes;
  pthread_getattr_np (pthread_self (), &attributes);
  pthread_attr_getstack (&attributes, &lowest, &bytes);
  pthread_attr_destroy (&attributes);
  t_stack = (struct gp_stack) { .lo = (uintptr_t) lowest, .hi = (uintptr_t) lowest + bytes };
}

static inline void
live_start (void (*on_sample) (const struct gp_regs *, const ucontext_t *), bool timer)
{
  struct sigaction action = { .sa_sigaction = live_handler, .sa_flags = SA_SIGINFO | SA_RESTART };
  struct itimerval interval = { { 0, 1000 }, { 0, 1000 } };
  atomic_store (&g_on_sample, on_sample);
  sigaction (LIVE_SIGNAL, &action, NULL);
  if (timer)
    setitimer (ITIMER_PROF, &interval, NULL);
}

static inline void
live_stop (void)
{
  struct itimerval never = { 0 };
  setitimer (ITIMER_PROF, &never, NULL);
  atomic_store (&g_on_sample, NULL);
}

#endif
