/* SPDX-License-Identifier: MIT */
/* trampoline.c: replacements of pthread_create(), and the function that new threads begin with.
 *
 * A new thread inherits its creator's element as its base label, which needs a reference while it is on its way:
 * create() takes one, thread_main() hands it over to the thread's own account and drops it.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/calls/trampoline.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "shim/labels/construction.h"
#include "shim/labels/label.h"
#include "shim/python/python_entry.h"
#include "shim/redirect/redirect.h"
#include "shim/threads/thread.h"
#include "shim/threads/tick_signal.h"

int (*g_real_pthread_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

/* What the creator hands to the new thread. */
struct birth
{
  void *(*function) (void *);
  void *argument;
  uint32_t label;        /* inherited element, with a reference; 0: none */
  bool renders;          /* made by a software renderer: labels/renderers.h */
  uint32_t construction; /* of the element that its creator is making: labels/construction.h; 0: none */
};

/* Cleanup handler of a thread for which no slot was free: accounts its whole CPU to its label, drops the reference. */
static void
account_whole_thread (void *label)
{
  if (!atomic_load (&g_active)) /* in the child of a fork, for one */
    return;
  gp_add (&g_segment->labels[(uintptr_t) label].overflow_ns, gp_clock_ns (CLOCK_THREAD_CPUTIME_ID));
  if ((uintptr_t) label != gp_label_fixed (GP_LABEL_THREAD))
    gp_label_unref ((uint32_t) (uintptr_t) label);
}

/* A creator may block all signals, and its threads inherit that: they would never be sampled. */
static void
unblock_tick_signal (void)
{
  sigset_t set;
  sigemptyset (&set);
  if (g_segment->signal != 0 && !atomic_load_explicit (&g_yields, memory_order_relaxed)
      && sigaddset (&set, (int) g_segment->signal) == 0)
    pthread_sigmask (SIG_UNBLOCK, &set, NULL);
}

static void *
thread_main (void *data)
{
  struct birth birth = *(struct birth *) data;
  free (data);
  if (!atomic_load (&g_active))
    return birth.function (birth.argument);
  uint32_t base = birth.label != 0 ? birth.label : gp_label_fixed (GP_LABEL_THREAD);
  struct gp_boundary root = GP_CALLER (base);
  unblock_tick_signal ();
  void *result;
  /* This call may wait for the interpreter's lock, which is a cancellation point. A thread cancelled there would never
   * drop its reference. */
  int cancel;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  gp_python_thread_starts (birth.function, birth.argument, base);
  pthread_setcancelstate (cancel, NULL);
  struct gp_thread *thread = gp_thread_attach (base, base, &root);
  if (thread != NULL) {
    gp_label_unref (birth.label); /* the thread's account has a reference of its own now */
    thread->renders = birth.renders;
    thread->born_in = birth.construction;
    result = birth.function (birth.argument);
  } else {
    pthread_cleanup_push (account_whole_thread, (void *) (uintptr_t) base);
    result = birth.function (birth.argument);
    pthread_cleanup_pop (1);
  }
  /* Keeps the calls above from being tail calls: this frame is the root that unwinding ends at. */
  __asm__ volatile ("");
  return result;
}

static int
create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument, bool renders)
{
  if (!atomic_load (&g_active))
    return g_real_pthread_create (id, attr, function, argument);
  if (gp_redirect_pending ())
    gp_redirect_pass ();
  /* A creator that is not registered has no element to hand on. It is not registered here: this call may come from
   * inside its malloc(). */
  struct gp_thread *thread = gp_thread_known ();
  uint32_t label = thread != NULL ? gp_label_to_hand_over (thread) : 0;
  struct birth *birth = malloc (sizeof *birth);
  if (birth == NULL)
    return g_real_pthread_create (id, attr, function, argument);
  if (!gp_label_ref (label))
    label = 0;
  uint32_t construction = thread != NULL ? gp_construction_of_birth (thread) : 0;
  *birth = (struct birth) { function, argument, label, renders, construction };
  int error = g_real_pthread_create (id, attr, thread_main, birth);
  if (error != 0) {
    free (birth);
    gp_label_unref (label);
  }
  return error;
}

int
gp_trampoline_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  return create (id, attr, function, argument, false);
}

int
gp_trampoline_create_renderer (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  return create (id, attr, function, argument, true);
}
