/* SPDX-License-Identifier: MIT */
/* deep.c: argv[1] identities in one thread, and same-named elements in different bins.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdlib.h>

int
main (int argc, char **argv)
{
  int depth = argc > 1 ? atoi (argv[1]) : 1000;
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_pipeline_new ("deep");
  GstElement *last = gst_element_factory_make ("fakesrc", NULL);
  g_object_set (last, "num-buffers", 400, "sizetype", 2, "sizemax", 64, NULL);
  gst_bin_add (GST_BIN (pipeline), last);
  for (int i = 0; i < depth; i++) {
    GstElement *next = gst_element_factory_make ("identity", NULL);
    g_object_set (next, "silent", TRUE, NULL);
    gst_bin_add (GST_BIN (pipeline), next);
    gst_element_link (last, next);
    last = next;
  }
  GstElement *sink = gst_element_factory_make ("fakesink", NULL);
  gst_bin_add (GST_BIN (pipeline), sink);
  gst_element_link (last, sink);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  gst_message_unref (gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return 0;
}
