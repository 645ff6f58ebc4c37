/* SPDX-License-Identifier: MIT */
/* label_rows.c: labels are made, renamed, moved, referred to and freed; tables that are full.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"

enum
{
  TOP = 1 << 20,
  STEP = 64
};

TEST (a_full_label_table_gives_too_many_labels)
{
  core_start (100);
  uint32_t overflow = gp_label_fixed (GP_LABEL_OVERFLOW), last = element ("last");
  memset (g_segment->label_bits, 0xff, sizeof g_segment->label_bits);
  CHECK_EQUAL (element ("one more"), overflow);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_FULL), 1);
  CHECK_EQUAL (strcmp (g_segment->strings + g_segment->labels[overflow].name, "[too many labels]"), 0);
  gp_label_gone (last);
  free_ended ();
  CHECK_EQUAL (element ("a place again"), last);
}

TEST (a_full_string_heap_keeps_no_row)
{
  core_start (100);
  uint32_t overflow = gp_label_fixed (GP_LABEL_OVERFLOW);
  gp_store (&g_segment->strings_used, GP_STRINGS - 20);
  uint32_t rows = rows_in_use (g_segment->label_bits, GP_LABEL_WORDS);
  for (int i = 0; i < 3; i++)
    CHECK_EQUAL (gp_label_make (GP_LABEL_ELEMENT, "a name that is longer than what is left", 0, 0, false), overflow);
  CHECK_EQUAL (rows_in_use (g_segment->label_bits, GP_LABEL_WORDS), rows);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_FULL), 3);
}

static const char *
path (uint32_t label)
{
  static char text[64];
  gp_label_path (label, text, sizeof text);
  return text;
}

TEST (a_label_is_where_its_element_is_and_stays_where_it_was_last)
{
  core_start (100);
  uint32_t one = element ("enc"), inner = bin ("b"), outer = bin ("camera");
  CHECK (strcmp (path (one), "/enc") == 0);
  gp_label_set_parent (one, inner);
  gp_label_set_parent (inner, outer);
  CHECK (strcmp (path (one), "/camera/b/enc") == 0);
  CHECK_EQUAL (gp_label_topmost (one), outer);
  gp_label_set_parent (one, 0);
  gp_label_gone (outer);
  gp_label_gone (inner);
  CHECK (strcmp (path (one), "/camera/b/enc") == 0);
  CHECK_EQUAL (g_segment->labels[inner].state, GP_SLOT_LIVE);
  gp_label_gone (one);
  CHECK_EQUAL (g_segment->labels[one].state, GP_SLOT_ENDED);
  CHECK_EQUAL (g_segment->labels[inner].state, GP_SLOT_ENDED);
  CHECK_EQUAL (g_segment->labels[outer].state, GP_SLOT_ENDED);
}

TEST (bins_that_change_places_make_no_circle)
{
  core_start (100);
  uint32_t a = bin ("a"), b = bin ("b");
  gp_label_set_parent (a, b);
  gp_label_set_parent (b, a);
  CHECK (strcmp (path (b), "/a/b") == 0);
  CHECK (strcmp (path (a), "/a") == 0);
  gp_label_gone (a);
  gp_label_gone (b);
  CHECK_EQUAL (g_segment->labels[a].state, GP_SLOT_ENDED);
  CHECK_EQUAL (g_segment->labels[b].state, GP_SLOT_ENDED);
}

TEST (a_label_takes_its_elements_new_name)
{
  core_start (100);
  uint32_t inner = bin ("bin0"), one = gp_label_make (GP_LABEL_ELEMENT, "enc", 0, inner, false);
  uint32_t moved = g_segment->labels_moved;
  gp_label_rename (inner, "a name that is longer than what there is room for", false);
  CHECK (strcmp (path (one), "/a name that is longer than what there is room for/enc") == 0);
  gp_label_rename (inner, "b", false);
  CHECK (strcmp (path (one), "/b/enc") == 0);
  CHECK_EQUAL (g_segment->labels_moved, moved + 2);
}

TEST (what_a_bin_does_itself_is_an_elements_and_ends_with_the_bin)
{
  core_start (100);
  uint32_t outer = bin ("camera"), source = bin ("src"), one = element ("one");
  gp_label_set_parent (source, outer);
  uint32_t work_of = gp_label_own_work (source);
  CHECK (work_of != source);
  CHECK_EQUAL (gp_label_own_work (source), work_of);
  CHECK_EQUAL (gp_label_own_work (work_of), work_of);
  CHECK_EQUAL (gp_label_own_work (one), one);
  CHECK_EQUAL (g_segment->labels[work_of].kind, GP_LABEL_ELEMENT);
  CHECK (strcmp (path (work_of), "/camera/src") == 0);
  CHECK_EQUAL (gp_label_topmost (work_of), outer);
  CHECK (gp_label_ref (work_of)); /* a thread of the bin's */
  gp_label_without_own_work (outer);
  CHECK_EQUAL (gp_label_own_work (outer), outer);
  gp_label_gone (outer);
  gp_label_gone (source);
  CHECK_EQUAL (g_segment->labels[source].state, GP_SLOT_LIVE);
  gp_label_unref (work_of);
  CHECK_EQUAL (g_segment->labels[work_of].state, GP_SLOT_ENDED);
  CHECK_EQUAL (g_segment->labels[source].state, GP_SLOT_ENDED);
  CHECK_EQUAL (g_segment->labels[outer].state, GP_SLOT_ENDED);
}

TEST (a_path_that_is_too_long_loses_its_root)
{
  core_start (100);
  uint32_t label = 0;
  char text[16];
  for (int i = 0; i < 8; i++)
    label = gp_label_make (GP_LABEL_ELEMENT, "name", 0, label, false);
  CHECK_EQUAL (gp_label_path (label, text, sizeof text), 15);
  CHECK (strcmp (text, "/name/name/name") == 0);
}

TEST (who_refers_to_a_label_keeps_it)
{
  core_start (100);
  uint32_t label = element ("a");
  CHECK (gp_label_ref (label));
  gp_label_gone (label);
  CHECK_EQUAL (g_segment->labels[label].state, GP_SLOT_LIVE);
  gp_label_unref (label);
  CHECK_EQUAL (g_segment->labels[label].state, GP_SLOT_ENDED);
  CHECK (!gp_label_ref (label));
}

/* What a server does: elements come, run, and go; the agent reads. */
TEST (elements_that_come_and_go_cost_what_lives)
{
  core_start (100);
  uint32_t labels = rows_in_use (g_segment->label_bits, GP_LABEL_WORDS), strings = 0;
  uint64_t ns = 0;
  for (uint32_t round = 0; round < 3000; round++) {
    uint32_t session[20], pipeline = bin ("pipeline");
    for (int i = 0; i < 20; i++) {
      char name[32];
      snprintf (name, sizeof name, "identity%u", round * 20 + (uint32_t) i);
      session[i] = gp_label_make (GP_LABEL_ELEMENT, name, 0, pipeline, true);
      enter (TOP, session[i]);
      work (200);
      leave (TOP);
    }
    gp_label_gone (pipeline);
    for (int i = 0; i < 20; i++)
      gp_label_gone (session[i]);
    ns += free_ended ();
    if (round == 100)
      strings = g_segment->strings_used;
  }
  CHECK_EQUAL (g_segment->strings_used, strings);
  /* As many as the thread keeps before it sweeps, and as many again. */
  CHECK_WITHIN (rows_in_use (g_segment->label_bits, GP_LABEL_WORDS), labels, labels + 150);
  CHECK_WITHIN (rows_in_use (g_segment->account_bits, GP_ACCOUNT_WORDS), 1, 150);
  CHECK_WITHIN (g_segment->labels_taken.words_used, 1, 4);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_FULL), 0);
  CHECK_EQUAL (counter (GP_COUNTER_ACCOUNTS_FULL), 0);
  /* No time is lost with the rows that are freed: the sum of all accounts is the thread's CPU time. */
  gp_threads_publish (false);
  CHECK_WITHIN (ns + accounted_ns (0, -1), (double) cpu_ns () * 0.998 - 100000, (double) cpu_ns () * 1.002 + 100000);
}

TEST (a_label_on_a_threads_stack_outlives_its_element)
{
  core_start (100);
  uint32_t kept = element ("kept");
  enter (TOP, kept);
  gp_label_gone (kept);
  others_come_and_go (500, TOP - STEP);
  CHECK_EQUAL (g_segment->labels[kept].state, GP_SLOT_LIVE);
  CHECK_EQUAL (gp_label_current (gp_thread_known (), TOP - 8), kept);
  leave (TOP);
  others_come_and_go (500, TOP);
  CHECK (g_segment->labels[kept].state == GP_SLOT_ENDED);
}

/* First more labels than a thread's first table and first slab hold, then few. */
TEST (a_thread_with_thousands_of_live_labels_finds_each_and_frees_them)
{
  enum
  {
    MANY = 5000
  };
  core_start (100);
  static uint32_t many[MANY];
  for (int i = 0; i < MANY; i++) {
    many[i] = element ("many");
    enter (TOP, many[i]);
    leave (TOP);
  }
  CHECK_WITHIN (gp_thread_known ()->meter.tallies, MANY, MANY + 8);
  for (int i = 0; i < MANY; i++) {
    enter (TOP, many[i]);
    CHECK_EQUAL (gp_thread_known ()->meter.current->label, many[i]);
    leave (TOP);
  }
  CHECK_WITHIN (gp_thread_known ()->meter.tallies, MANY, MANY + 8);
  for (int i = 0; i < MANY; i++)
    gp_label_gone (many[i]);
  others_come_and_go (2 * MANY, TOP);
  CHECK_WITHIN (gp_thread_known ()->meter.tallies, 1, 200);
  CHECK_EQUAL (gp_thread_known ()->meter.table_shift >= 22, 1);
}

static _Atomic bool g_done;

static void *
churn (void *unused)
{
  for (uint32_t i = 0; i < 20000; i++) {
    uint32_t label = element ("churned"), child = gp_label_make (GP_LABEL_ELEMENT, "child", 0, label, false);
    enter (TOP, label);
    enter (TOP - STEP, child);
    leave (TOP);
    gp_label_gone (label);
    gp_label_gone (child);
  }
  return unused;
}

static void *
take_all (void *unused)
{
  while (!g_done)
    free_ended ();
  return unused;
}

static void *
look_all (void *unused)
{
  while (!g_done)
    gp_threads_publish (false);
  return unused;
}

/* Threads, poller and agent at once. */
TEST (labels_end_while_others_read_them)
{
  core_start (100);
  uint32_t labels = rows_in_use (g_segment->label_bits, GP_LABEL_WORDS);
  pthread_t threads[3], agent, poller;
  pthread_create (&agent, NULL, take_all, NULL);
  pthread_create (&poller, NULL, look_all, NULL);
  for (int i = 0; i < 3; i++)
    host_create (&threads[i], NULL, churn, NULL);
  for (int i = 0; i < 3; i++)
    pthread_join (threads[i], NULL);
  g_done = true;
  pthread_join (agent, NULL);
  pthread_join (poller, NULL);
  free_ended ();
  CHECK_EQUAL (rows_in_use (g_segment->label_bits, GP_LABEL_WORDS), labels);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_FULL), 0);
}
