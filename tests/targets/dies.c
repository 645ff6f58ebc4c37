/* SPDX-License-Identifier: MIT */
/* dies.c: a C host that plays for argv[1] ms and ends without exit handlers: by signal argv[2], or by _exit() with
 * status 5.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int
main (int argc, char **argv)
{
  struct rlimit no_core = { 0, 0 };
  gst_init (NULL, NULL);
  setrlimit (RLIMIT_CORE, &no_core);
  GstElement *pipeline = gst_parse_launch ("videotestsrc is-live=true ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep ((gulong) (argc > 1 ? atoi (argv[1]) : 0) * 1000);
  if (argc > 2)
    raise (atoi (argv[2]));
  _exit (5);
}
