/* SPDX-License-Identifier: MIT */
/* churn_threads.c: threads that are born and go, and threads that stay.
 *
 * Context: part of churn_host.c.
 */
#define _GNU_SOURCE
#include "churn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

typedef int (*Create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

static const double WORK_S = 20e-6, UNSEEN_WORK_S = 2e-3;

static GMutex g_lock;
static GCond g_changed;
static guint g_running;    /* under the lock: kept threads that have begun */
static gboolean g_release; /* under the lock */
static GArray *g_kept;     /* of pthread_t */

static void
work (double seconds)
{
  for (double end_s = churn_thread_s () + seconds; churn_thread_s () < end_s;)
    g_free (g_strdup_printf ("%f", end_s));
}

static void *
come_and_go (void *unused)
{
  (void) unused;
  work (WORK_S);
  return NULL;
}

static void *
stay (void *seconds)
{
  work (*(const double *) seconds);
  g_mutex_lock (&g_lock);
  g_running++;
  g_cond_broadcast (&g_changed);
  while (!g_release)
    g_cond_wait (&g_changed, &g_lock);
  g_mutex_unlock (&g_lock);
  return NULL;
}

static void
start (Create create, pthread_t *id, void *(*function) (void *), const double *seconds)
{
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setstacksize (&attr, 256 << 10);
  int error = create (id, &attr, function, (void *) seconds);
  if (error != 0)
    g_error ("no thread: %s", g_strerror (error));
  pthread_attr_destroy (&attr);
}

static void
one_batch (guint number)
{
  pthread_t ids[number];
  for (guint i = 0; i < number; i++)
    start (pthread_create, &ids[i], come_and_go, NULL);
  for (guint i = 0; i < number; i++)
    pthread_join (ids[i], NULL);
}

static void
on_handoff (GstElement *identity, GstBuffer *buffer, gpointer batch)
{
  (void) identity, (void) buffer;
  one_batch (GPOINTER_TO_UINT (batch));
}

/* One batch for each buffer that goes by an element. */
static void
batches_inside_an_element (guint batches, guint batch)
{
  GstElement *pipeline = gst_parse_launch ("fakesrc name=source ! identity name=maker ! fakesink", NULL);
  GstElement *source = gst_bin_get_by_name (GST_BIN (pipeline), "source");
  GstElement *maker = gst_bin_get_by_name (GST_BIN (pipeline), "maker");
  g_object_set (source, "num-buffers", (gint) batches, NULL);
  g_signal_connect (maker, "handoff", G_CALLBACK (on_handoff), GUINT_TO_POINTER (batch));
  gst_object_unref (source);
  gst_object_unref (maker);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  gst_message_unref (gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS));
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

double
churn_threads (guint number, guint batch)
{
  guint batches = number / batch;
  if (batches / 2 > 0)
    batches_inside_an_element (batches / 2, batch);
  gint64 worst_us = 0;
  for (guint i = batches / 2; i < batches; i++) {
    one_batch (batch - 1);
    gint64 before_us = g_get_monotonic_time ();
    one_batch (1);
    worst_us = MAX (worst_us, g_get_monotonic_time () - before_us);
  }
  return (double) worst_us / 1e6;
}

void
churn_threads_keep (guint number, gboolean unseen)
{
  static const double none = 0;
  Create create = pthread_create;
  if (unseen)
    *(void **) &create = dlsym (RTLD_NEXT, "pthread_create");
  if (g_kept == NULL)
    g_kept = g_array_new (FALSE, FALSE, sizeof (pthread_t));
  for (guint i = 0; i < number; i++) {
    pthread_t id;
    start (create, &id, stay, unseen ? &UNSEEN_WORK_S : &none);
    g_array_append_val (g_kept, id);
  }
  g_mutex_lock (&g_lock);
  while (g_running < g_kept->len)
    g_cond_wait (&g_changed, &g_lock);
  g_mutex_unlock (&g_lock);
}

void
churn_threads_release (void)
{
  g_mutex_lock (&g_lock);
  g_release = TRUE;
  g_cond_broadcast (&g_changed);
  g_mutex_unlock (&g_lock);
  for (guint i = 0; g_kept != NULL && i < g_kept->len; i++)
    pthread_join (g_array_index (g_kept, pthread_t, i), NULL);
  g_clear_pointer (&g_kept, g_array_unref);
}
