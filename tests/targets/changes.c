/* SPDX-License-Identifier: MIT */
/* changes.c: a C host that plays, changes what it is in the way that argv[1] says, plays on, and prints what became of
 * it.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <gst/gst.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum
{
  PLAY_MS = 700,
  CHILDREN = 300
};

static void
play (GstElement *pipeline)
{
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep (PLAY_MS * 1000);
  gst_element_set_state (pipeline, GST_STATE_NULL);
}

static int
become_daemon (void)
{
  pid_t child = fork ();
  if (child != 0) {
    int status = 1;
    waitpid (child, &status, 0);
    _exit (WEXITSTATUS (status));
  }
  setsid ();
  child = fork ();
  if (child != 0) {
    int status = 1;
    waitpid (child, &status, 0);
    _exit (WEXITSTATUS (status));
  }
  return 0;
}

static int
start_children (void)
{
  volatile int failed = 0;
  for (int i = 0; i < CHILDREN; i++) {
    int status = -1;
    pid_t child = vfork ();
    if (child == 0) {
      execl ("/bin/true", "true", (char *) NULL);
      _exit (127);
    }
    waitpid (child, &status, 0);
    failed = failed + (status != 0);
  }
  return failed;
}

static int
close_all (void)
{
  for (int fd = 3; fd < 65536; fd++)
    close (fd);
  return 0;
}

static int
change (const char *how)
{
  if (strcmp (how, "setuid") == 0)
    return setuid (65534);
  if (strcmp (how, "chroot") == 0)
    return chroot ("/var/empty") != 0 ? chroot ("/mnt") : 0;
  if (strcmp (how, "unshare") == 0)
    return unshare (CLONE_NEWNS | CLONE_NEWNET | CLONE_FILES | CLONE_FS);
  if (strcmp (how, "daemon") == 0)
    return become_daemon ();
  if (strcmp (how, "close") == 0)
    return close_all ();
  if (strcmp (how, "children") == 0)
    return start_children ();
  return 0;
}

int
main (int argc, char **argv)
{
  gst_init (NULL, NULL);
  const char *how = argc > 1 ? argv[1] : "";
  /* GStreamer itself survives that only before it has made anything. */
  bool early = strcmp (how, "daemon") == 0 || strcmp (how, "close") == 0;
  int changed = early ? change (how) : 0;
  GstElement *pipeline = gst_parse_launch ("videotestsrc pattern=snow ! fakesink", NULL);
  play (pipeline);
  changed += early ? 0 : change (how);
  play (pipeline);
  gst_object_unref (pipeline);
  printf ("changed: %d\n", changed);
  return 0;
}
