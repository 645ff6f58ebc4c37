/* SPDX-License-Identifier: MIT */
/* trampoline.c: the trampoline of new threads. They take their creator's element along as their base label.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/calls/trampoline.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include "shim/labels/construction.h"
#include "shim/redirect/redirect.h"
#include "shim/labels/label.h"
#include "shim/python/python_entry.h"
#include "shim/threads/thread.h"
#include "shim/threads/tick_signal.h"

int (*g_real_pthread_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

struct birth
{
  void *(*function) (void *);
  void *argument;
  uint32_t label; /* inherited element, with a reference; 0: none */
  bool renders;   /* made by a software renderer: renderers.c */
  uint32_t construction;
};

/* No slot was free: the thread's CPU goes to its label as a whole, at its end, and so does the reference. */
static void
account_whole_thread (void *label)
{
  if (!atomic_load (&g_active)) /* in the child of a fork */
    return;
  gp_add (&g_segment->labels[(uintptr_t) label].overflow_ns, gp_clock_ns (CLOCK_THREAD_CPUTIME_ID));
  if ((uintptr_t) label != gp_label_fixed (GP_LABEL_THREAD))
    gp_label_unref ((uint32_t) (uintptr_t) label);
}

static void
unblock_sampling_signal (void)
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
  unblock_sampling_signal ();
  void *result;
  /* It may wait for the interpreter's lock, where a thread can be cancelled, and nobody else has the reference. */
  int cancel;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  gp_python_thread_starts (birth.function, birth.argument, base);
  pthread_setcancelstate (cancel, NULL);
  struct gp_thread *thread = gp_thread_attach (base, base, &root);
  if (thread != NULL) {
    gp_label_unref (birth.label); /* the thread's account has one now */
    thread->renders = birth.renders;
    thread->born_in = birth.construction;
    result = birth.function (birth.argument);
  } else {
    pthread_cleanup_push (account_whole_thread, (void *) (uintptr_t) base);
    result = birth.function (birth.argument);
    pthread_cleanup_pop (1);
  }
  /* Not a tail call: the frame is the root that unwinding ends at. */
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
  /* A creator not met yet has no element to hand on, and is not attached for it: this may be inside its malloc. */
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
