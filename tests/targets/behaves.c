/* SPDX-License-Identifier: MIT */
/* behaves.c: a C host that prints whatever of it a guest could bend: signal dispositions, masks of its threads, locale,
 * environment, children's ends, GStreamer's complaints, its own end. Run with and without the shim, it must print the
 * same.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <gst/gst.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void
print_dispositions (const char *when)
{
  /* SIGURG is the sampling signal; SIGINT and SIGTERM are caught by an embedded agent. argv[1] lists what to leave out.
   */
  const char *leave_out = getenv ("LEAVE_OUT");
  for (int i = 1; i < SIGRTMAX; i++) {
    struct sigaction action;
    char word[16];
    snprintf (word, sizeof word, ",%d,", i);
    if ((leave_out != NULL && strstr (leave_out, word) != NULL) || sigaction (i, NULL, &action) != 0)
      continue;
    if (action.sa_handler != SIG_DFL)
      printf ("%s: signal %d: %s\n", when, i, action.sa_handler == SIG_IGN ? "ignored" : "handled");
  }
}

static void
print_mask (const char *who)
{
  sigset_t set;
  pthread_sigmask (SIG_SETMASK, NULL, &set);
  printf ("%s blocks:", who);
  for (int i = 1; i < SIGRTMAX; i++)
    if (sigismember (&set, i) == 1 && i != SIGURG)
      printf (" %d", i);
  printf ("\n");
}

static void *
thread_main (void *data)
{
  print_mask (data);
  return NULL;
}

static void
on_exit_1 (void)
{
  printf ("exit handler\n");
}

static void
print_environment (void)
{
  for (char **word = environ; *word != NULL; word++)
    if (strncmp (*word, "GST_TRACERS=", 12) != 0 && strncmp (*word, "GST_PLUGIN_PATH", 15) != 0
        && strncmp (*word, "GST_PYROSCOPE_", 14) != 0 && strncmp (*word, "LD_PRELOAD=", 11) != 0
        && strncmp (*word, "GST_REGISTRY", 12) != 0)
      printf ("%s\n", *word);
}

static void
print_complaint (const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer unused)
{
  (void) level, (void) unused;
  printf ("%s: %s\n", domain, text);
}

int
main (int argc, char **argv)
{
  sigset_t set;
  pthread_t thread;
  setvbuf (stdout, NULL, _IOLBF, 0);
  atexit (on_exit_1);
  print_environment ();
  gst_init (&argc, &argv);
  GstElement *pipeline =
      gst_parse_launch ("fakesrc num-buffers=2000 sizetype=2 sizemax=64 ! identity ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  printf ("message: %s\n", GST_MESSAGE_TYPE_NAME (message));
  usleep (600000); /* the agent is up by now */
  print_dispositions ("running");
  print_mask ("main");
  sigemptyset (&set);
  sigaddset (&set, SIGUSR1);
  sigaddset (&set, SIGWINCH);
  pthread_sigmask (SIG_BLOCK, &set, NULL);
  pthread_create (&thread, NULL, thread_main, "a thread");
  pthread_join (thread, NULL);
  printf ("locale: %s\n", setlocale (LC_ALL, NULL));
  /* A child of the host's, waited for as careless programs do. */
  pid_t child = fork ();
  if (child == 0)
    _exit (7);
  int status = 0;
  pid_t ended = waitpid (-1, &status, 0);
  printf ("child: %s, %d\n", ended == child ? "mine" : "foreign", WEXITSTATUS (status));
  printf ("another: %s\n", waitpid (-1, &status, WNOHANG) == -1 && errno == ECHILD ? "none" : "there is one");
  GLogFunc before = g_log_set_default_handler (print_complaint, NULL);
  printf ("sent to no pad: %d\n", gst_pad_send_event (NULL, NULL));
  g_log_set_default_handler (before, NULL);
  printf ("shell: %d\n", WEXITSTATUS (system ("exit 3")));
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return argc > 1 ? atoi (argv[1]) : 5;
}
