/* SPDX-License-Identifier: MIT */
/* churn_meter.c: what a stretch of the run cost, and what the process holds.
 *
 * Context: part of churn_host.c.
 */
#define _GNU_SOURCE
#include "churn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double
clock_s (clockid_t clock)
{
  struct timespec now;
  return clock_gettime (clock, &now) == 0 ? (double) now.tv_sec + (double) now.tv_nsec / 1e9 : 0;
}

double
churn_thread_s (void)
{
  return clock_s (CLOCK_THREAD_CPUTIME_ID);
}

static guint
count_entries (const char *folder)
{
  guint number = 0;
  GDir *dir = g_dir_open (folder, 0, NULL);
  while (dir != NULL && g_dir_read_name (dir) != NULL)
    number++;
  g_clear_pointer (&dir, g_dir_close);
  return number;
}

static double
profilers_s (void)
{
  double sum_s = 0;
  GDir *dir = g_dir_open ("/proc/self/task", 0, NULL);
  for (const char *name; dir != NULL && (name = g_dir_read_name (dir)) != NULL;) {
    char path[64], *comm = NULL;
    g_snprintf (path, sizeof path, "/proc/self/task/%s/comm", name);
    /* The clock of a thread by its id, as the kernel makes them: CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED. */
    if (g_file_get_contents (path, &comm, NULL, NULL) && g_str_has_prefix (comm, "gst-pyro"))
      sum_s += clock_s ((clockid_t) (~(unsigned) atoi (name) << 3 | 6));
    g_free (comm);
  }
  g_clear_pointer (&dir, g_dir_close);
  return sum_s;
}

struct meter
churn_meter_now (void)
{
  double ours_s = profilers_s ();
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  double process_s = (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
                     + (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  return (struct meter) { process_s, ours_s, clock_s (CLOCK_MONOTONIC) };
}

static long
status_kb (const char *status, const char *field)
{
  const char *found = strstr (status, field);
  return found != NULL ? atol (found + strlen (field)) : -1;
}

void
churn_meter_print (const char *phase, const char *extra, const struct meter *since)
{
  struct meter now = churn_meter_now ();
  char *status = NULL;
  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    g_error ("no /proc/self/status");
  printf ("{\"phase\": \"%s\", %s\"process_s\": %.6f, \"ours_s\": %.6f, \"wall_s\": %.3f, \"rss_kb\": %ld, "
          "\"anon_kb\": %ld, \"shmem_kb\": %ld, \"descriptors\": %u, \"threads\": %ld}\n",
      phase, extra, now.process_s - since->process_s, now.ours_s - since->ours_s, now.wall_s - since->wall_s,
      status_kb (status, "VmRSS:"), status_kb (status, "RssAnon:"), status_kb (status, "RssShmem:"),
      count_entries ("/proc/self/fd") - 1, status_kb (status, "Threads:"));
  fflush (stdout);
  g_free (status);
}

double
churn_reference_s (void)
{
  double before_s = churn_thread_s ();
  for (int turn = 0; turn < 20; turn++) {
    GHashTable *table = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    for (int i = 0; i < 500; i++)
      g_hash_table_insert (table, g_strdup_printf ("identity%d", i), g_malloc0 (200));
    g_hash_table_unref (table);
  }
  return churn_thread_s () - before_s;
}
