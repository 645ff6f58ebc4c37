/* SPDX-License-Identifier: MIT */
/* account_rows.c: what threads that end leave in the tables of accounts; tables that are full.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <limits.h>
#include "core.h"

enum
{
  TOP = 1 << 20
};

/* What a thread takes at most after it has read its clock for the last time: pthread_exit() itself. */
static const double END_NS = 1000000;

static _Atomic uint64_t g_last_cpu;

static void *
burn_a_little (void *label)
{
  enter (TOP, *(uint32_t *) label);
  burn (20000000);
  g_last_cpu = cpu_ns ();
  pthread_exit (NULL);
}

TEST (a_thread_that_ends_leaves_all_its_cpu_behind)
{
  core_start (100);
  uint32_t label = element ("a");
  pthread_t id;
  host_create (&id, NULL, burn_a_little, &label);
  pthread_join (id, NULL);
  static struct gp_thread_row rows[4];
  CHECK_EQUAL (gp_reader_threads (g_segment, 1, rows, 4), 1);
  CHECK_WITHIN (accounted_ns (0, rows[0].slot), g_last_cpu, g_last_cpu + END_NS);
}

static pthread_key_t g_late_key;
static _Atomic bool g_lingers, g_may_go;

/* Lingers in the last round of destructors, in which ours runs first, since its key is older. */
static void
linger (void *data)
{
  static int rounds;
  if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
    pthread_setspecific (g_late_key, data);
    return;
  }
  g_lingers = true;
  while (!g_may_go)
    sleep_ns (100000);
}

static void *
burn_and_linger (void *data)
{
  burn (20000000);
  pthread_setspecific (g_late_key, data);
  return NULL;
}

TEST (a_thread_that_is_ending_is_not_found_again)
{
  core_start (100);
  pthread_key_create (&g_late_key, linger);
  pthread_t id;
  host_create (&id, NULL, burn_and_linger, &g_late_key);
  while (!g_lingers)
    sleep_ns (100000);
  uint64_t found = counter (GP_COUNTER_THREADS_FOUND), threads = g_segment->threads_seen;
  gp_threads_poll (0);
  CHECK_EQUAL (counter (GP_COUNTER_THREADS_FOUND), found);
  CHECK_EQUAL (g_segment->threads_seen, threads);
  g_may_go = true;
  pthread_join (id, NULL);
}

static _Atomic pid_t g_late_tid;

static void *
say_tid_and_burn (void *unused)
{
  burn (60000000);
  g_late_tid = (pid_t) syscall (SYS_gettid);
  while (!g_may_go)
    sleep_ns (100000);
  return unused;
}

/* The new thread has all the CPU time that the last one had, and more. */
TEST (a_thread_with_the_id_of_one_that_ended_is_found)
{
  core_start (100);
  pthread_t id;
  static uint32_t label;
  label = element ("a");
  host_create (&id, NULL, burn_a_little, &label);
  pthread_join (id, NULL);
  static struct gp_thread_row rows[4];
  CHECK_EQUAL (gp_reader_threads (g_segment, 1, rows, 4), 1);
  sleep_ns (20000000); /* the kernel has the start of a thread in hundredths of a second */
  pthread_create (&id, NULL, say_tid_and_burn, NULL);
  while (g_late_tid == 0)
    sleep_ns (100000);
  /* as where the kernel has reused the id */
  const struct gp_ended *ended = gp_thread_find_ended (rows[0].tid);
  CHECK (ended != NULL);
  gp_thread_note_end (g_late_tid, ended->cpu_ns, ended->ns);
  uint64_t found = counter (GP_COUNTER_THREADS_FOUND);
  gp_threads_poll (0);
  CHECK_EQUAL (counter (GP_COUNTER_THREADS_FOUND), found + 1);
  g_may_go = true;
  pthread_join (id, NULL);
}

static void *
use_one_label (void *label)
{
  enter (TOP, *(uint32_t *) label);
  leave (TOP);
  return NULL;
}

TEST (rows_come_back_once_the_agent_has_read_them)
{
  core_start (100);
  uint32_t label = element ("a");
  for (int round = 0; round < 20; round++) {
    pthread_t ids[20];
    for (int i = 0; i < 20; i++)
      host_create (&ids[i], NULL, use_one_label, &label);
    for (int i = 0; i < 20; i++)
      pthread_join (ids[i], NULL);
    free_ended ();
  }
  CHECK_WITHIN (g_segment->threads_taken.words_used, 1, 1);
  CHECK_WITHIN (g_segment->accounts_taken.words_used, 1, 1);
  CHECK_EQUAL (g_segment->threads_seen, 401);
}

static void *
burn_under (void *label)
{
  if (gp_thread_known () != NULL)
    enter (TOP, *(uint32_t *) label);
  burn (20000000);
  if (gp_thread_known () != NULL)
    leave (TOP);
  g_last_cpu = cpu_ns ();
  return NULL;
}

TEST (a_full_account_table_counts_for_the_label_as_a_whole)
{
  core_start (100);
  uint32_t label = element ("a");
  memset (g_segment->account_bits, 0xff, sizeof g_segment->account_bits);
  pthread_t id;
  host_create (&id, NULL, burn_under, &label);
  pthread_join (id, NULL);
  CHECK_WITHIN (g_segment->labels[label].overflow_ns, 20000000, g_last_cpu + END_NS);
  CHECK_WITHIN (counter (GP_COUNTER_ACCOUNTS_FULL), 1, 3);
}

TEST (a_full_thread_table_counts_for_the_creators_label_as_a_whole)
{
  core_start (100);
  uint32_t label = element ("a");
  memset (g_segment->thread_bits, 0xff, sizeof g_segment->thread_bits);
  enter (TOP, label);
  pthread_t id;
  host_create (&id, NULL, burn_under, &label);
  pthread_join (id, NULL);
  leave (TOP);
  CHECK_WITHIN (g_segment->labels[label].overflow_ns, 20000000, g_last_cpu + END_NS);
  CHECK_EQUAL (counter (GP_COUNTER_THREADS_FULL), 1);
}
