/* SPDX-License-Identifier: MIT */
/* loads_library.c: a C host that plays, and when a line comes on stdin loads the library argv[1].
 *
 * Context: tests.
 */
#include <dlfcn.h>
#include <gst/gst.h>
#include <stdio.h>

int
main (int argc, char **argv)
{
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_parse_launch ("videotestsrc name=source pattern=snow ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  printf ("playing\n");
  fflush (stdout);
  if (getchar () != '\n' || argc < 2 || dlopen (argv[1], RTLD_NOW) == NULL)
    return 3;
  return 4;
}
