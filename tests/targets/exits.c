/* SPDX-License-Identifier: MIT */
/* exits.c: a C host that calls exit() with status 42 after so many milliseconds, its pipeline still playing.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdlib.h>

int
main (int argc, char **argv)
{
  int delay_ms = argc > 1 ? atoi (argv[1]) : 0;
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_parse_launch ("videotestsrc ! fakesink audiotestsrc ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep ((gulong) delay_ms * 1000);
  exit (42);
}
