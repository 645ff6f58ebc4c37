/* SPDX-License-Identifier: MIT */
/* reaps.c: a C host to which orphans go, as to pid 1 of a container. It plays for 700 ms, says what its waitpid(-1)
 * gives, and ends.
 *
 * Context: tests.
 */
#include <errno.h>
#include <gst/gst.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int
main (void)
{
  prctl (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_parse_launch ("fakesrc name=source is-live=true ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (700000);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  pid_t child = waitpid (-1, NULL, WNOHANG);
  printf ("%s\n", child < 0 ? strerror (errno) : child == 0 ? "a child lives" : "a child has ended");
  return 0;
}
