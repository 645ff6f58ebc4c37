/* SPDX-License-Identifier: MIT */
/* handed.c: the labels of work that is handed to a main context's thread, to a renderer's workers, and to threads of an
 * element that is being made. Stubs on one thread take the parts of GLib and the renderer.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include "shim/labels/construction.h"
#include "shim/labels/contexts.h"
#include "shim/base/gst_api.h"
#include "shim/labels/renderers.h"

enum
{
  TOP = 1 << 20
};

static pthread_cond_t g_work = PTHREAD_COND_INITIALIZER, g_other = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t g_queue = PTHREAD_MUTEX_INITIALIZER;
static uint32_t
    g_signallers[4]; /* labels under which the condition is signalled while the worker waits; 0 behind the last */

static void
signal_as (uint32_t label)
{
  enter (TOP, label);
  gp_renderers_signal (&g_work);
  leave (TOP);
}

static int
play_wait (pthread_cond_t *condition, pthread_mutex_t *mutex)
{
  (void) condition, (void) mutex;
  for (size_t i = 0; g_signallers[i] != 0; i++)
    signal_as (g_signallers[i]);
  return 0;
}

static int
play_signal (pthread_cond_t *condition)
{
  (void) condition;
  return 0;
}

static int
play_lock (pthread_mutex_t *mutex)
{
  (void) mutex;
  return 0;
}

static struct gp_thread *
start_worker (void)
{
  core_start (100);
  g_renderers_real = (struct gp_renderers_real) { play_wait, play_signal, play_signal, play_lock };
  struct gp_thread *worker = gp_thread_known ();
  worker->renders = true;
  return worker;
}

TEST (a_worker_serves_signals_in_their_order)
{
  struct gp_thread *worker = start_worker ();
  uint32_t blur = element ("blur"), sobel = element ("sobel");
  memcpy (g_signallers, (uint32_t[]) { blur, sobel, blur, 0 }, sizeof g_signallers);
  gp_renderers_wait (&g_work, &g_queue);
  CHECK_EQUAL (worker->base, blur);
  gp_renderers_lock (&g_queue);
  CHECK_EQUAL (worker->base, sobel);
  gp_renderers_lock (&g_queue);
  CHECK_EQUAL (worker->base, blur);
  gp_label_set_base (worker, sobel);
  gp_renderers_lock (&g_queue); /* nothing is left */
  CHECK_EQUAL (worker->base, sobel);
}

TEST (a_worker_that_waits_has_answered_all)
{
  struct gp_thread *worker = start_worker ();
  uint32_t blur = element ("blur"), sobel = element ("sobel");
  memcpy (g_signallers, (uint32_t[]) { blur, blur, blur, 0 }, sizeof g_signallers);
  gp_renderers_wait (&g_work, &g_queue);
  memcpy (g_signallers, (uint32_t[]) { sobel, 0 }, 2 * sizeof *g_signallers);
  gp_renderers_wait (&g_work, &g_queue);
  CHECK_EQUAL (worker->base, sobel);
}

TEST (a_signal_wakes_several_workers)
{
  struct gp_thread *worker = start_worker ();
  uint32_t blur = element ("blur");
  g_signallers[0] = blur;
  gp_renderers_wait (&g_work, &g_queue);
  g_signallers[0] = 0;
  gp_label_set_base (worker, gp_label_fixed (GP_LABEL_THREAD));
  gp_renderers_wait (&g_work, &g_queue); /* woken by the same signal */
  CHECK_EQUAL (worker->base, blur);
}

TEST (only_workers_serve_and_only_their_own_queue)
{
  struct gp_thread *worker = start_worker ();
  uint32_t base = worker->base, blur = element ("blur");
  worker->renders = false;
  g_signallers[0] = blur;
  gp_renderers_wait (&g_work, &g_queue);
  gp_renderers_lock (&g_queue);
  CHECK_EQUAL (worker->base, base);
  worker->renders = true;
  g_signallers[0] = 0;
  gp_renderers_wait (&g_work, &g_queue);
  g_signallers[0] = blur;
  gp_renderers_wait (&g_other, &g_queue);
  CHECK_EQUAL (worker->base, base);
}

TEST (work_of_nobody_s_is_nobody_s)
{
  struct gp_thread *worker = start_worker ();
  gp_label_set_base (worker, gp_label_fixed (GP_LABEL_MAIN));
  g_signallers[0] = gp_label_fixed (GP_LABEL_MAIN);
  gp_renderers_wait (&g_work, &g_queue);
  CHECK_EQUAL (worker->base, gp_label_fixed (GP_LABEL_THREAD));
}

static struct
{
  GSourceFunc function;
  gpointer data;
  GDestroyNotify notify;
  gint priority;
} g_source;
static uint32_t g_seen;
static int g_notified;

static void
play_invoke_full (GMainContext *context, gint priority, GSourceFunc function, gpointer data, GDestroyNotify notify)
{
  (void) context;
  g_source.function = function;
  g_source.data = data;
  g_source.notify = notify;
  g_source.priority = priority;
}

static void
play_invoke (GMainContext *context, GSourceFunc function, gpointer data)
{
  play_invoke_full (context, G_PRIORITY_DEFAULT, function, data, NULL);
}

static gboolean
see_label (gpointer data)
{
  g_seen = gp_label_current (gp_thread_known (), (uintptr_t) __builtin_frame_address (0));
  return *(gboolean *) data;
}

static void
be_notified (gpointer data)
{
  (void) data;
  g_notified++;
}

static void
start_context (void)
{
  core_start (100);
  g_real_context_invoke = play_invoke;
  g_real_context_invoke_full = play_invoke_full;
  g_gst.g_main_context_invoke_full_ = play_invoke_full;
}

TEST (a_main_context_works_for_who_asks)
{
  start_context ();
  uint32_t label = element ("asks"), base = gp_thread_known ()->base;
  gboolean again = TRUE;
  enter (TOP, label);
  gp_context_invoke_full (NULL, 7, see_label, &again, be_notified);
  leave (TOP);
  CHECK_EQUAL (g_source.priority, 7);
  CHECK_EQUAL (g_source.function (g_source.data), TRUE);
  CHECK_EQUAL (g_seen, label);
  again = FALSE;
  CHECK_EQUAL (g_source.function (g_source.data), FALSE);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
  CHECK_EQUAL (gp_thread_known ()->base, base);
  g_source.notify (g_source.data);
  CHECK_EQUAL (g_notified, 1);
}

TEST (a_main_context_asked_by_nobody_is_left_alone)
{
  start_context ();
  gboolean again = FALSE;
  gp_context_invoke (NULL, see_label, &again);
  CHECK (g_source.function == see_label && g_source.data == &again && g_source.notify == NULL);
}

static int
play_poll (struct pollfd *fds, nfds_t n, int timeout)
{
  (void) fds, (void) n;
  return timeout;
}

/* A construction, as a thread sees it that is made in it. */
static uint32_t
construct (struct gp_thread *maker, void *object)
{
  uint32_t outer = gp_construction_begin (maker), inner = gp_construction_begin (maker);
  gp_construction_end (maker, inner, &outer); /* one without threads */
  uint32_t born_in = gp_construction_of_birth (maker);
  CHECK_EQUAL (gp_construction_of_birth (maker), born_in);
  gp_construction_end (maker, outer, object);
  CHECK_EQUAL (gp_construction_of_birth (maker), 0);
  return born_in;
}

TEST (a_constructor_s_threads_are_the_element_s)
{
  core_start (100);
  struct gp_thread *thread = gp_thread_known ();
  uint32_t base = thread->base, label = element ("webrtc");
  char object, another;
  g_construction_real.poll = play_poll;
  thread->born_in = construct (thread, &object);
  uint32_t other = construct (thread, &another);
  CHECK (other != thread->born_in);
  CHECK_EQUAL (gp_construction_poll (NULL, 0, 3), 3);
  CHECK_EQUAL (thread->base, base);
  gp_construction_names ((GstElement *) &object, label);
  CHECK_EQUAL (gp_construction_poll (NULL, 0, 3), 3);
  CHECK_EQUAL (thread->base, label);
  CHECK_EQUAL (thread->born_in, 0);
  CHECK_EQUAL (atomic_load (&g_constructions_unnamed), 1);
}

TEST (an_element_at_the_same_address_is_another)
{
  core_start (100);
  struct gp_thread *thread = gp_thread_known ();
  uint32_t base = thread->base;
  char object;
  g_construction_real.poll = play_poll;
  thread->born_in = construct (thread, &object);
  uint32_t outer = gp_construction_begin (thread); /* the first one is gone, and this one makes no thread */
  gp_construction_end (thread, outer, &object);
  gp_construction_names ((GstElement *) &object, element ("another"));
  gp_construction_poll (NULL, 0, 0);
  CHECK_EQUAL (thread->base, base);
  CHECK_EQUAL (atomic_load (&g_constructions_unnamed), 0);
}
