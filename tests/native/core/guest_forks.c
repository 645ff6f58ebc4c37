/* SPDX-License-Identifier: MIT */
/* guest_forks.c: hosts that fork, clone or exit while they are sampled.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include "core.h"
#include "shim/base/gst_api.h"
#include "shim/stop/stop.h"

enum
{
  TOP = 1 << 20,
  RATE_HZ = 1000
};

static void *
do_nothing (void *unused)
{
  return unused;
}

static _Atomic bool g_stop;
static _Atomic int g_burning;

static void *
burn_with_labels (void *label)
{
  bool first = true;
  while (!g_stop) {
    enter (TOP, *(uint32_t *) label);
    work (1000);
    leave (TOP);
    g_burning += first;
    first = false;
  }
  return NULL;
}

static int
use_child (uint32_t *label)
{
  pthread_t id;
  if (atomic_load (&g_active))
    return 1;
  void *volatile memory = malloc (100000);
  free (memory);
  if (host_create (&id, NULL, do_nothing, NULL) != 0 || pthread_join (id, NULL) != 0)
    return 2;
  void *library = dlopen ("libm.so.6", RTLD_NOW);
  if (library == NULL || dlclose (library) != 0)
    return 3;
  /* the child writes nothing to its parent's accounts */
  (void) label;
  burn (2000000);
  return 0;
}

TEST (a_forked_child_is_usable_and_not_profiled)
{
  core_start (RATE_HZ);
  static uint32_t label;
  label = element ("a");
  pthread_t ids[3];
  for (int i = 0; i < 3; i++)
    host_create (&ids[i], NULL, burn_with_labels, &label);
  /* From here on they allocate nothing: ASan's malloc does not keep forks apart. */
  while (g_burning < 3)
    sleep_ns (1000000);
  for (int i = 0; i < 40; i++) {
    pid_t child = fork ();
    if (child == 0)
      _exit (use_child (&label));
    int status = -1;
    waitpid (child, &status, 0);
    CHECK_EQUAL (status, 0);
  }
  g_stop = true;
  for (int i = 0; i < 3; i++)
    pthread_join (ids[i], NULL);
  CHECK_EQUAL (counter (GP_COUNTER_FOREIGN_SIGNALS), 0);
  drain_to_the_end ();
}

/* As some runtimes and sandboxes fork: no handler of pthread_atfork() runs. */
TEST (a_child_of_a_raw_clone_is_not_profiled)
{
  core_start (RATE_HZ);
  fflush (stdout);
  pid_t child = (pid_t) syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0)
    _exit (use_child (NULL));
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 0);
  CHECK (atomic_load (&g_active));
}

static _Atomic bool g_in_the_log;

static void
log_for_ever (GstDebugCategory *category, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
    GObject *object, const gchar *format, ...)
{
  (void) category, (void) level, (void) file, (void) function, (void) line, (void) object, (void) format;
  g_in_the_log = true;
  for (;;)
    pause ();
}

static void *
log_a_line (void *unused)
{
  gp_gst_log (GST_LEVEL_INFO, "a line");
  return unused;
}

/* A child that calls gst_deinit(), forked while the parent's poller was writing a line to the log. */
TEST (a_forked_child_takes_the_tracer_down_without_waiting_for_the_parents_threads)
{
  static GstDebugCategory category = { .threshold = GST_LEVEL_INFO };
  pthread_t id;
  core_start (RATE_HZ);
  g_gst.category = &category;
  g_gst.gst_debug_log_ = log_for_ever;
  pthread_create (&id, NULL, log_a_line, NULL);
  while (!g_in_the_log)
    sleep_ns (100000);
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0) {
    alarm (5); /* ends it where it hangs */
    gp_stop_at_dispose ();
    _exit (7);
  }
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 7 << 8);
}

/* Exits with a status of the host's own, at one of many moments. */
static void
exit_while_sampled (unsigned delay_us)
{
  core_start (RATE_HZ);
  static uint32_t label;
  label = element ("a");
  for (int i = 0; i < 4; i++) {
    pthread_t id;
    host_create (&id, NULL, burn_with_labels, &label);
  }
  sleep_ns (delay_us * 1000ull);
  exit (42);
}

TEST (exit_during_sampling_keeps_the_status)
{
  for (unsigned i = 0; i < 30; i++) {
    pid_t child = fork ();
    if (child == 0)
      exit_while_sampled (i * 500);
    int status = 0;
    waitpid (child, &status, 0);
    CHECK_EQUAL (status, 42 << 8);
  }
}
