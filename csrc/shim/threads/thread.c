/* SPDX-License-Identifier: MIT */
/* thread.c: threads that register themselves, and their ends.
 *
 * A thread is registered in one of three ways: by our trampoline (calls/trampoline.c), by its first hook, or by the
 * poller (thread_poll.c). It ends by a key destructor (also after pthread_exit or cancellation), or vanishes.
 *
 * Locking: attach, end and the poller take g_registry; hooks on their steady path and the handler never do. No code of
 * the host's is called under it.
 *
 * Context: lifecycle.
 */
#define _GNU_SOURCE
#include "shim/threads/thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/labels/label.h"
#include "shim/threads/sampler.h"
#include "shim/labels/account.h"

#define ENDING ((struct gp_thread *) 1)
#define DESTRUCTOR_ROUNDS 3 /* run late: others' destructors use CPU time too (PTHREAD_DESTRUCTOR_ITERATIONS is 4) */

static pthread_key_t g_end_key;

/* Key destructor: ends the thread's accounts, and its slot. */
static void
on_thread_end (void *data)
{
  struct gp_thread *thread = data;
  if (!atomic_load (&g_active) || t_thread != thread)
    return;
  if (++thread->exit_rounds < DESTRUCTOR_ROUNDS && pthread_setspecific (g_end_key, thread) == 0)
    return;
  t_thread = ENDING;
  /* Before the check: the handler of a thread that is ready sets the alternate stack, which another thread gets next.
   */
  atomic_store_explicit (&thread->ready, false, memory_order_relaxed);
  atomic_signal_fence (memory_order_seq_cst);
  stack_t now;
  if (sigaltstack (NULL, &now) == 0 && (uintptr_t) now.ss_sp == thread->signal_stack.lo) {
    stack_t none = { .ss_flags = SS_DISABLE };
    sigaltstack (&none, NULL);
  }
  /* As in gp_thread_attach(): a thread can be cancelled as long as its destructors run. */
  int cancel;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  gp_registry_lock ();
  prctl (PR_GET_NAME, g_segment->threads[gp_thread_slot (thread)].comm);
  gp_thread_end_slot (thread, true);
  gp_registry_unlock ();
  pthread_setcancelstate (cancel, NULL);
}

static struct gp_stack
find_own_stack (void)
{
  struct gp_stack stack = { .lo = 0 };
  pthread_attr_t attr;
  void *low;
  size_t bytes;
  if (pthread_getattr_np (pthread_self (), &attr) != 0)
    return stack;
  if (pthread_attr_getstack (&attr, &low, &bytes) == 0)
    stack = (struct gp_stack) { .lo = (uintptr_t) low, .hi = (uintptr_t) low + bytes };
  pthread_attr_destroy (&attr);
  return stack;
}

static void
lend_signal_stack (struct gp_thread *thread)
{
  stack_t now;
  if (sigaltstack (NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0)
    return;
  stack_t ours = { .ss_sp = (void *) thread->signal_stack.lo,
    .ss_size = thread->signal_stack.hi - thread->signal_stack.lo };
  sigaltstack (&ours, NULL);
}

static struct gp_thread *
attach (clockid_t clock, uint32_t base, uint32_t before, const struct gp_boundary *root)
{
  pid_t tid = (pid_t) gp_syscall (SYS_gettid);
  struct gp_stack stack = find_own_stack (); /* allocates, and reads /proc on the main thread: so not under the lock */
  gp_registry_lock ();
  struct gp_thread *thread = gp_thread_find_tid (tid);
  bool found = thread != NULL;
  if (!found)
    thread = gp_thread_take_slot (tid, clock, base);
  if (thread != NULL) {
    atomic_store_explicit (&thread->ready, false, memory_order_relaxed);
    atomic_signal_fence (memory_order_seq_cst);
    if (stack.lo != 0) { /* in this order, as the poller does: it reads them without the lock */
      gp_store (&thread->stack.hi, stack.hi);
      gp_store_release (&thread->stack.lo, stack.lo);
    }
    lend_signal_stack (thread);
    if (root != NULL)
      thread->root = *root;
    if (!found)
      gp_account_open (thread, gp_clock_ns (CLOCK_THREAD_CPUTIME_ID), before, base);
    else
      gp_label_set_base (thread, base);
    gp_sampler_arm (thread);
    prctl (PR_GET_NAME, g_segment->threads[gp_thread_slot (thread)].comm);
    atomic_store_explicit (&thread->ready, true, memory_order_release); /* pairs with the acquire in gp_handler() */
    t_thread = thread;
  }
  gp_registry_unlock ();
  if (thread != NULL)
    pthread_setspecific (g_end_key, thread);
  gp_poller_wake (); /* a new thread means that the host has begun to work */
  return thread;
}

struct gp_thread *
gp_thread_attach (uint32_t base, uint32_t before, const struct gp_boundary *root)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  int saved_errno = errno, cancel;
  clockid_t clock;
  if (pthread_getcpuclockid (pthread_self (), &clock) != 0)
    return NULL;
  t_thread = ENDING; /* hooks that run within the calls below must not find a half-built state */
  /* close() is a cancellation point: a thread that is cancelled there would never release the lock. */
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  struct gp_thread *thread = attach (clock, base, before, root);
  pthread_setcancelstate (cancel, NULL);
  errno = saved_errno;
  return thread;
}

static struct gp_thread *
attach_self (void)
{
  bool main_thread = (pid_t) gp_syscall (SYS_gettid) == g_segment->host_pid;
  uint32_t base = gp_label_fixed (main_thread ? GP_LABEL_MAIN : GP_LABEL_THREAD);
  return gp_thread_attach (base, main_thread ? gp_label_fixed (GP_LABEL_BEFORE) : base, NULL);
}

int
gp_threads_init (void)
{
  int error = gp_thread_slots_init ();
  g_thread_attach_self = attach_self;
  return error != 0 ? error : pthread_key_create (&g_end_key, on_thread_end);
}
