/* SPDX-License-Identifier: MIT */
/* endless.c: a C host that plays until it is killed.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GstElement *pipeline = gst_parse_launch ("videotestsrc name=source pattern=snow ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
  printf ("playing\n");
  fflush (stdout);
  for (;;)
    g_usleep (1000000);
}
