/* SPDX-License-Identifier: MIT */
/* relinks.c: elements that come, go and are relinked while data flows, for two seconds. Prints how often.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>

static volatile gboolean stop;

/* Threads of the host's own that hammer links outside any element. */
static gpointer
relink (gpointer data)
{
  GstElement *pipeline = data;
  guint n = 0;
  GstElement *tee = gst_bin_get_by_name (GST_BIN (pipeline), "t");
  while (!stop) {
    GstElement *bin = gst_parse_bin_from_description ("queue max-size-buffers=2 leaky=2 ! identity name=same ! fakesink"
                                                      " sync=false async=false",
        TRUE, NULL);
    gst_bin_add (GST_BIN (pipeline), bin);
    gst_element_sync_state_with_parent (bin);
    GstPad *src = gst_element_request_pad_simple (tee, "src_%u");
    GstPad *sink = gst_element_get_static_pad (bin, "sink");
    gst_pad_link (src, sink);
    g_usleep (300);
    gst_pad_unlink (src, sink);
    gst_element_release_request_pad (tee, src);
    gst_object_unref (src);
    gst_object_unref (sink);
    gst_element_set_state (bin, GST_STATE_NULL);
    gst_bin_remove (GST_BIN (pipeline), bin);
    n++;
  }
  gst_object_unref (tee);
  return GUINT_TO_POINTER (n);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GstElement *pipeline = gst_parse_launch ("fakesrc sizetype=2 sizemax=64 ! tee name=t allow-not-linked=true"
                                           " t. ! queue ! fakesink async=false",
      NULL);
  GThread *threads[2];
  guint n = 0;
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  for (int i = 0; i < 2; i++)
    threads[i] = g_thread_new ("relink", relink, pipeline);
  g_usleep (2000000);
  stop = TRUE;
  for (int i = 0; i < 2; i++)
    n += GPOINTER_TO_UINT (g_thread_join (threads[i]));
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  printf ("%s\n", n > 20 ? "relinked" : "too few");
  return 0;
}
