/* SPDX-License-Identifier: MIT */
/* blocking_log.c: a host whose log function takes a lock that its main thread holds while it calls gst_deinit(). Says
 * "down" and ends with status 5.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static int g_waits[2];

static void
log_line (GstDebugCategory *category, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
    GObject *object, GstDebugMessage *message, gpointer data)
{
  (void) level, (void) file, (void) function, (void) line, (void) object, (void) message, (void) data;
  if (strcmp (gst_debug_category_get_name (category), "pyroscope") != 0)
    return;
  if (write (g_waits[1], "x", 1) != 1)
    _exit (1);
  pthread_mutex_lock (&g_lock);
  pthread_mutex_unlock (&g_lock);
}

int
main (int argc, char **argv)
{
  char one;
  if (pipe (g_waits) != 0)
    return 1;
  pthread_mutex_lock (&g_lock);
  gst_debug_remove_log_function (gst_debug_log_default);
  gst_debug_add_log_function (log_line, NULL, NULL);
  gst_init (&argc, &argv);
  /* Until it waits; without the profiler nobody does. */
  if (argc > 1 && read (g_waits[0], &one, 1) != 1)
    return 1;
  gst_deinit ();
  printf ("down\n");
  fflush (stdout);
  _exit (5);
}
