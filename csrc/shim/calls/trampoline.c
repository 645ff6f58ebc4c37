/* SPDX-License-Identifier: MIT */
/* trampoline.c: the trampoline of new threads. They take their creator's element along as their base label.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/calls/trampoline.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "shim/labels/construction.h"
#include "shim/labels/contexts.h"
#include "shim/labels/hooks.h"
#include "shim/redirect/redirect.h"
#include "shim/labels/label.h"
#include "shim/labels/loading.h"
#include "shim/names/names.h"
#include "shim/labels/pools.h"
#include "shim/labels/probes.h"
#include "shim/python/python_tags.h"
#include "shim/labels/renderers.h"
#include "shim/threads/thread.h"
#include "shim/threads/tick_signal.h"
#include "shim/threads/sigwait.h"

enum
{
  /* What glibc gives where nobody has limited it. A host may limit its threads' to less than libdw needs, or Python, or
   * its own log functions, which our poller calls. */
  OWN_STACK_BYTES = 8 << 20
};

static int (*g_real_pthread_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

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

static int
gp_pthread_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  return create (id, attr, function, argument, false);
}

static int
create_renderer (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  return create (id, attr, function, argument, true);
}

void
gp_workers_init (void)
{
  static const struct gp_redirect imports[] = {
    { "pthread_create", (void *) create_renderer, (void **) &g_real_pthread_create, g_renderers },
    { "pthread_cond_wait", (void *) gp_renderers_wait, (void **) &g_renderers_real.wait, g_renderers },
    { "pthread_cond_signal", (void *) gp_renderers_signal, (void **) &g_renderers_real.signal, g_renderers },
    { "pthread_cond_broadcast", (void *) gp_renderers_broadcast, (void **) &g_renderers_real.broadcast, g_renderers },
    { "pthread_mutex_lock", (void *) gp_renderers_lock, (void **) &g_renderers_real.lock, g_renderers },
    { "pthread_create", (void *) gp_pthread_create, (void **) &g_real_pthread_create, NULL },
    { "g_main_context_invoke", (void *) gp_context_invoke, (void **) &g_real_context_invoke, g_context_callers },
    { "g_main_context_invoke_full", (void *) gp_context_invoke_full, (void **) &g_real_context_invoke_full,
        g_context_callers },
    { "g_module_open", (void *) gp_loading_open, (void **) &g_loading_real.open, g_libgstreamer },
    { "g_module_close", (void *) gp_loading_close, (void **) &g_loading_real.close, g_libgstreamer },
    { "sigaction", (void *) gp_loading_trap, (void **) &g_loading_real.trap, g_libgstreamer },
    { "g_object_new_with_properties", (void *) gp_loading_new, (void **) &g_loading_real.new, g_libgstreamer },
    { "poll", (void *) gp_construction_poll, (void **) &g_construction_real.poll, g_libglib },
    { "ppoll", (void *) gp_construction_ppoll, (void **) &g_construction_real.ppoll, g_libglib },
    { "g_hook_list_marshal", (void *) gp_probes_run, (void **) &g_real_run_probes, g_libgstreamer },
    { "g_thread_pool_new", (void *) gp_pool_new, (void **) &g_real_pool_new, NULL },
    { "g_thread_pool_new_full", (void *) gp_pool_new_full, (void **) &g_real_pool_new_full, NULL },
    { "g_thread_pool_push", (void *) gp_pool_push, (void **) &g_real_pool_push, NULL },
    { "g_thread_pool_free", (void *) gp_pool_free, (void **) &g_real_pool_free, NULL },
    { "sigwait", (void *) gp_sigwait, (void **) &g_real_sigwait, NULL },
    { "sigwaitinfo", (void *) gp_sigwaitinfo, (void **) &g_real_sigwaitinfo, NULL },
    { "sigtimedwait", (void *) gp_sigtimedwait, (void **) &g_real_sigtimedwait, NULL },
    { "gst_pad_send_event", (void *) gp_hooks_send_event, (void **) &g_hooks_real_send_event, NULL },
    { "PyGILState_Ensure", (void *) gp_python_ensure, (void **) &g_python_real.ensure, g_python_callers },
    { "PyEval_RestoreThread", (void *) gp_python_restore, (void **) &g_python_real.restore, g_python_callers },
    { "orc_program_take_code", (void *) gp_names_orc_take_code, (void **) &g_names_real_orc_take_code, NULL },
    { "orc_program_get_name", NULL, (void **) &g_names_orc_get_name, NULL },
  };
  _Static_assert (sizeof imports / sizeof imports[0] <= GP_REDIRECTS_MAX, "rows would be left out");
  gp_redirect_init (imports, sizeof imports / sizeof imports[0]);
}

struct own_thread
{
  void *(*function) (void *);
  void *argument;
  char name[GP_COMM];
};

/* A host with real-time priority would share it with whatever the agent does, and wait for it. */
static void
leave_real_time (void)
{
  int policy = sched_getscheduler (0) & ~SCHED_RESET_ON_FORK;
  if (policy == SCHED_FIFO || policy == SCHED_RR)
    sched_setscheduler (0, SCHED_OTHER, &(struct sched_param) { .sched_priority = 0 });
}

static void *
own_main (void *data)
{
  struct own_thread own = *(struct own_thread *) data;
  free (data);
  leave_real_time ();
  pthread_setname_np (pthread_self (), own.name);
  uint32_t label = gp_label_fixed (GP_LABEL_AGENT);
  struct gp_boundary root = GP_CALLER (label);
  gp_thread_attach (label, label, &root);
  void *result = own.function (own.argument);
  __asm__ volatile (""); /* not a tail call, as in thread_main() */
  return result;
}

int
gp_workers_start_own (void *(*function) (void *), void *argument, const char *name)
{
  struct own_thread *own = calloc (1, sizeof *own);
  if (own == NULL)
    return ENOMEM;
  own->function = function;
  own->argument = argument;
  strncpy (own->name, name, sizeof own->name - 1);
  /* The host's signals are for the host's threads; the sampling signal must come through, or we would not see
   * ourselves. */
  sigset_t blocked, before;
  sigfillset (&blocked);
  if (g_segment->signal != 0)
    sigdelset (&blocked, (int) g_segment->signal);
  pthread_sigmask (SIG_SETMASK, &blocked, &before);
  pthread_t id;
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attr, OWN_STACK_BYTES);
  int error = pthread_create (&id, &attr, own_main, own);
  pthread_attr_destroy (&attr);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (error != 0)
    free (own);
  return error;
}
