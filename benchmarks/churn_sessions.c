/* SPDX-License-Identifier: MIT */
/* churn_sessions.c: pipelines that are made, played to their end, and thrown away.
 *
 * Context: part of churn_host.c.
 */
#include "churn.h"

static GstElement *
make (const char *factory, const char *name)
{
  GstElement *element = gst_element_factory_make (factory, name);
  if (element == NULL)
    g_error ("no element %s", factory);
  return element;
}

static void
play_to_the_end (GstElement *pipeline)
{
  GstBus *bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstMessage *message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  if (GST_MESSAGE_TYPE (message) != GST_MESSAGE_EOS)
    g_error ("%s reports an error", GST_MESSAGE_SRC_NAME (message));
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

void
churn_session (guint elements, guint buffers)
{
  GstElement *pipeline = gst_pipeline_new (NULL);
  GstElement *last = make ("fakesrc", NULL);
  g_object_set (last, "num-buffers", (gint) buffers, NULL);
  gst_bin_add (GST_BIN (pipeline), last);
  for (guint i = 1; i < elements; i++) {
    GstElement *next = make (i + 1 < elements ? "identity" : "fakesink", NULL);
    gst_bin_add (GST_BIN (pipeline), next);
    if (!gst_element_link (last, next))
      g_error ("no link");
    last = next;
  }
  play_to_the_end (pipeline);
}

/* fakesrc ! work ! fakesink, in two bins. The inner one has its name, and its place in the outer, only once its
 * elements are linked: some have run by then. */
static GstElement *
nested (guint buffers)
{
  GstElement *outer = gst_bin_new ("a"), *inner = gst_bin_new (NULL);
  GstElement *source = make ("fakesrc", "source"), *work = make ("identity", "work"), *sink = make ("fakesink", "sink");
  g_object_set (source, "num-buffers", (gint) buffers, NULL);
  gst_bin_add_many (GST_BIN (inner), source, work, sink, NULL);
  if (!gst_element_link_many (source, work, sink, NULL))
    g_error ("no link");
  gst_object_set_name (GST_OBJECT (inner), "b");
  gst_bin_add (GST_BIN (outer), inner);
  return outer;
}

void
churn_namesakes (guint pipelines, guint buffers)
{
  GstElement *all[pipelines];
  for (guint i = 0; i < pipelines; i++) {
    GstElement *bins = nested (buffers);
    all[i] = gst_pipeline_new ("camera");
    gst_bin_add (GST_BIN (all[i]), bins);
  }
  for (guint i = 0; i < pipelines; i++)
    play_to_the_end (all[i]);
}

void
churn_play (const char *description)
{
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch (description, &error);
  if (error != NULL)
    g_error ("%s: %s", description, error->message);
  play_to_the_end (pipeline);
}
