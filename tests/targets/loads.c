/* SPDX-License-Identifier: MIT */
/* loads.c: an identity that, amid its first buffer, has the plugin of gstslowload.c loaded, burns BURN_MS of CPU
 * itself, and makes an element of the plugin.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>
#include <time.h>

enum
{
  BURN_MS = 60
};

static void
load (GstElement *identity, GstBuffer *buffer, gpointer data)
{
  (void) identity, (void) buffer, (void) data;
  static gint loaded;
  struct timespec now, start;
  if (g_atomic_int_add (&loaded, 1) > 0)
    return;
  GstPlugin *plugin = gst_plugin_load_by_name ("slowload");
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &start);
  do {
    for (volatile int i = 0; i < 20000; i++)
      continue;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < BURN_MS);
  GstElement *element = gst_element_factory_make ("slowload", NULL);
  puts (plugin != NULL && element != NULL ? "loaded" : "not loaded");
  gst_object_unref (element);
  gst_object_unref (plugin);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GstElement *pipeline =
      gst_parse_launch ("fakesrc num-buffers=5 ! identity name=amid signal-handoffs=true ! fakesink", NULL);
  GstElement *identity = gst_bin_get_by_name (GST_BIN (pipeline), "amid");
  g_signal_connect (identity, "handoff", G_CALLBACK (load), NULL);
  gst_object_unref (identity);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  gst_message_unref (gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS));
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return 0;
}
