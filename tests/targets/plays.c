/* SPDX-License-Identifier: MIT */
/* plays.c: a C host that plays for argv[1] ms, or until its stdin ends where that is "-", then prints CLOCK_MONOTONIC
 * in ns and returns 0: what its end takes from there is what others make it take.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int
main (int argc, char **argv)
{
  struct timespec now;
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_parse_launch ("videotestsrc name=source pattern=snow ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  if (argc > 1 && strcmp (argv[1], "-") == 0)
    while (getchar () != EOF)
      continue;
  else
    g_usleep ((gulong) (argc > 1 ? atoi (argv[1]) : 0) * 1000);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  clock_gettime (CLOCK_MONOTONIC, &now);
  printf ("%lld\n", now.tv_sec * 1000000000ll + now.tv_nsec);
  return 0;
}
