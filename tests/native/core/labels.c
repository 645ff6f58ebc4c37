/* SPDX-License-Identifier: MIT */
/* labels.c: entering and leaving labels, and what other threads inherit.
 *
 * Stack pointers are invented, but for the test that is sampled: only their order matters.
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

static uint32_t
current (uintptr_t sp)
{
  return gp_label_current (gp_thread_known (), sp);
}

TEST (the_innermost_label_is_in_force)
{
  core_start (100);
  uint32_t outer = element ("outer"), inner = element ("inner"), base = gp_thread_known ()->base;
  CHECK_EQUAL (current (TOP), base);
  enter (TOP, outer);
  CHECK_EQUAL (current (TOP - 8), outer);
  enter (TOP - STEP, inner);
  CHECK_EQUAL (current (TOP - STEP - 8), inner);
  leave (TOP - STEP);
  CHECK_EQUAL (current (TOP - 8), outer);
  leave (TOP);
  CHECK_EQUAL (current (TOP - 8), base);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_DEAD), 0);
}

TEST (leaving_what_was_not_entered_changes_nothing)
{
  core_start (100);
  uint32_t label = element ("a");
  leave (TOP);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
  enter (TOP, label);
  leave (TOP - STEP);
  CHECK_EQUAL (current (TOP - 8), label);
  leave (TOP);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_DEAD), 0);
}

/* GStreamer skips pad-query-post when a probe stops the query. */
TEST (entries_whose_post_hook_never_came_are_dropped_and_counted)
{
  core_start (100);
  uint32_t outer = element ("outer"), dead = element ("dead"), next = element ("next");
  enter (TOP, outer);
  enter (TOP - STEP, dead);
  /* the handler skips it before anything else runs */
  CHECK_EQUAL (current (TOP - STEP + 8), outer);
  enter (TOP - STEP, next);
  CHECK_EQUAL (gp_thread_known ()->depth, 2);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_DEAD), 1);
  leave (TOP);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
  CHECK_EQUAL (counter (GP_COUNTER_LABELS_DEAD), 2);
}

TEST (thousands_of_labels_deep)
{
  enum
  {
    DEPTH = 10000
  };
  core_start (100);
  static uint32_t labels[DEPTH];
  for (uint32_t i = 0; i < DEPTH; i++) {
    char name[32];
    snprintf (name, sizeof name, "element%u", i);
    labels[i] = element (name);
    enter (TOP - i * STEP, labels[i]);
  }
  for (uint32_t i = DEPTH; i-- > 0;) {
    CHECK_EQUAL (current (TOP - i * STEP - 8), labels[i]);
    leave (TOP - i * STEP);
  }
  CHECK_EQUAL (current (TOP), gp_thread_known ()->base);
}

TEST (the_base_label_holds_outside_every_entry)
{
  core_start (100);
  uint32_t base = element ("task"), inner = element ("inner");
  enter (TOP, inner);
  gp_label_set_base (gp_thread_known (), base);
  CHECK_EQUAL (current (TOP - 8), inner);
  leave (TOP);
  CHECK_EQUAL (current (TOP - 8), base);
}

static void *
say_base (void *into)
{
  *(uint32_t *) into = gp_thread_known () != NULL ? gp_thread_known ()->base : 0;
  return NULL;
}

static uint32_t
base_of_new_thread (void)
{
  uint32_t base = 0;
  pthread_t id;
  if (host_create (&id, NULL, say_base, &base) == 0)
    pthread_join (id, NULL);
  return base;
}

TEST (a_new_thread_takes_its_creators_element_along)
{
  core_start (100);
  uint32_t label = element ("x264enc0"), thread = gp_label_fixed (GP_LABEL_THREAD);
  uint32_t pipeline = bin ("pipeline0");
  CHECK_EQUAL (base_of_new_thread (), thread);
  enter (TOP, label);
  CHECK_EQUAL (base_of_new_thread (), label);
  enter (TOP - STEP, pipeline);
  CHECK_EQUAL (base_of_new_thread (), gp_label_own_work (pipeline));
  CHECK (gp_label_own_work (pipeline) != pipeline);
  leave (TOP);
  CHECK_EQUAL (base_of_new_thread (), thread);
}

static uint64_t g_odd;

static void
look_at (const struct gp_record *record)
{
  /* elements e0 to e63 are entered in that order, so an entry that is half written or stale shows */
  uint32_t kind = record->label < GP_LABELS ? g_segment->labels[record->label].kind : 0;
  g_odd += kind != GP_LABEL_ELEMENT && kind != GP_LABEL_MAIN;
  uint32_t last = UINT32_MAX;
  for (uint32_t i = 0; i < record->depth; i++) {
    if (record->frames[i] >> 56 != (0x80 | GP_FRAME_LABEL))
      continue;
    uint32_t id = (uint32_t) record->frames[i] & ((1 << GP_LABEL_BITS) - 1);
    g_odd += id >= last || g_segment->labels[id].kind != GP_LABEL_ELEMENT;
    last = id;
  }
}

static uint32_t g_e[64];

static __attribute__ ((noinline)) void
descend (int depth)
{
  uintptr_t sp = (uintptr_t) __builtin_frame_address (0) + 16;
  enter (sp, g_e[depth]);
  work (200);
  if (depth < 63)
    descend (depth + 1);
  work (200);
  leave (sp);
}

TEST (the_handler_sees_whole_entries_while_they_change)
{
  core_start (1000);
  for (int i = 0; i < 64; i++) {
    char name[32];
    snprintf (name, sizeof name, "e%d", i);
    g_e[i] = element (name);
  }
  for (uint64_t end = cpu_ns () + 400000000; cpu_ns () < end;)
    descend (0);
  uint64_t records = drain (false, look_at);
  CHECK_WITHIN (records, fewest_records (400000000), 1e6);
  CHECK_EQUAL (g_odd, 0);
}
