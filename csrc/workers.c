/* SPDX-License-Identifier: MIT */
/* workers.c: trampolines of threads and of GLib's pools.
 *
 * A new thread takes its creator's element along as its base label. A pool's workers are shared, also between pipelines,
 * and may be made on a thread of GLib's own: there the pool's function carries the label of whoever made the pool.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "workers.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "gst.h"
#include "imports.h"
#include "label.h"
#include "modules.h"

typedef GThreadPool *(*pool_new_function) (GFunc, gpointer, gint, gboolean, GError **);
typedef GThreadPool *(*pool_new_full_function) (GFunc, gpointer, GDestroyNotify, gint, gboolean, GError **);

static int (*g_real_pthread_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);
static pool_new_function g_real_pool_new;
static pool_new_full_function g_real_pool_new_full;

struct birth
{
  void *(*function) (void *);
  void *argument;
  uint32_t label;               /* inherited element; 0: none */
};

/* No slot was free: the thread's CPU goes to its label as a whole, at its end. */
static void
account_whole_thread (void *label)
{
  gp_add (&g_segment->labels[(uintptr_t) label].overflow_ns, gp_clock_ns (CLOCK_THREAD_CPUTIME_ID));
}

static void
unblock_sampling_signal (void)
{
  sigset_t set;
  sigemptyset (&set);
  if (g_segment->signal != 0 && sigaddset (&set, (int) g_segment->signal) == 0)
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
  if (gp_thread_attach (base, base, &root) != NULL) {
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
create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument, uint32_t label)
{
  struct birth *birth = malloc (sizeof *birth);
  if (birth == NULL)
    return g_real_pthread_create (id, attr, function, argument);
  *birth = (struct birth) {function, argument, label};
  int error = g_real_pthread_create (id, attr, thread_main, birth);
  if (error != 0)
    free (birth);
  return error;
}

static int
gp_pthread_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL)
    return g_real_pthread_create (id, attr, function, argument);
  if (gp_imports_pending ())
    gp_imports_pass ();
  return create (id, attr, function, argument, gp_label_to_inherit (thread));
}

struct pool_call
{
  GFunc function;
  gpointer data;
  uint32_t label;
};

/* GstTask's pool: its function is libgstreamer's own. Who runs there shows by stream-status or by the first push. */
static bool
is_task_pool (GFunc function)
{
  Dl_info info, gstreamer;
  return dladdr ((void *) (uintptr_t) function, &info) != 0
      && dladdr ((void *) (uintptr_t) GST (gst_tracing_register_hook), &gstreamer) != 0
      && info.dli_fbase == gstreamer.dli_fbase;
}

static void
run_pool_call (gpointer data, gpointer user_data)
{
  const struct pool_call *call = user_data;
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL) {
    call->function (data, call->data);
    return;
  }
  struct gp_boundary boundary = GP_CALLER (call->label);
  if (call->label == gp_label_fixed (GP_LABEL_TASK)) {
    /* The task's element becomes the base, which outlives no call: workers are shared. */
    uint32_t base = thread->base;
    thread->task = true;
    gp_label_set_base (thread, call->label);
    call->function (data, call->data);
    thread->task = false;
    gp_label_set_base (thread, base);
  } else {
    gp_label_push (thread, boundary);
    call->function (data, call->data);
    gp_label_pop (thread, boundary.sp);
  }
}

/* Leaked on purpose, one small block a pool: a pool may be freed while its workers still run. */
static struct pool_call *
make_pool_call (GFunc function, gpointer data)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  struct pool_call *call = thread != NULL ? malloc (sizeof *call) : NULL;
  if (call == NULL)
    return NULL;
  uint32_t label = gp_label_to_inherit (thread);
  if (is_task_pool (function))
    label = gp_label_fixed (GP_LABEL_TASK);
  else if (label == 0)
    label = gp_label_fixed (GP_LABEL_POOL);
  *call = (struct pool_call) {function, data, label};
  return call;
}

static GThreadPool *
gp_pool_new (GFunc function, gpointer data, gint max_threads, gboolean exclusive, GError **error)
{
  struct pool_call *call = make_pool_call (function, data);
  return call == NULL ? g_real_pool_new (function, data, max_threads, exclusive, error)
      : g_real_pool_new (run_pool_call, call, max_threads, exclusive, error);
}

/* item_free_func gets items, not user data: it stays as it is. */
static GThreadPool *
gp_pool_new_full (GFunc function, gpointer data, GDestroyNotify item_free, gint max_threads, gboolean exclusive,
    GError **error)
{
  struct pool_call *call = make_pool_call (function, data);
  return call == NULL ? g_real_pool_new_full (function, data, item_free, max_threads, exclusive, error)
      : g_real_pool_new_full (run_pool_call, call, item_free, max_threads, exclusive, error);
}

void
gp_workers_init (void)
{
  static const struct gp_import imports[] = {
    {"pthread_create", (void *) gp_pthread_create, (void **) &g_real_pthread_create},
    {"g_thread_pool_new", (void *) gp_pool_new, (void **) &g_real_pool_new},
    {"g_thread_pool_new_full", (void *) gp_pool_new_full, (void **) &g_real_pool_new_full},
  };
  gp_imports_init (imports, sizeof imports / sizeof imports[0]);
}

struct own_thread
{
  void *(*function) (void *);
  void *argument;
  char name[GP_COMM];
};

static void *
own_main (void *data)
{
  struct own_thread own = *(struct own_thread *) data;
  free (data);
  pthread_setname_np (pthread_self (), own.name);
  uint32_t label = gp_label_fixed (GP_LABEL_AGENT);
  struct gp_boundary root = GP_CALLER (label);
  gp_thread_attach (label, label, &root);
  void *result = own.function (own.argument);
  __asm__ volatile ("");        /* not a tail call, as in thread_main() */
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
  /* The host's signals are for the host's threads; the sampling signal must come through, or we would not see ourselves. */
  sigset_t blocked, before;
  sigfillset (&blocked);
  if (g_segment->signal != 0)
    sigdelset (&blocked, (int) g_segment->signal);
  pthread_sigmask (SIG_SETMASK, &blocked, &before);
  pthread_t id;
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  int error = pthread_create (&id, &attr, own_main, own);
  pthread_attr_destroy (&attr);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (error != 0)
    free (own);
  return error;
}
