/* SPDX-License-Identifier: MIT */
/* pooled.c: the labels of work in GLib's pools. Stubs on one thread take the part of GLib.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include <dlfcn.h>
#include <sys/wait.h>
#include "shim/base/gst_api.h"
#include "shim/labels/pools.h"

enum
{
  TOP = 1 << 20,
  CHILD_NS = 100000000
};

static GThreadPool g_pools[2];
static unsigned g_made;
static int g_items[8192];
static uint32_t g_label; /* in force in the pool's function */
static uint32_t g_depth;
static void *g_item, *g_data;

static GThreadPool *
play_new (GFunc function, gpointer data, gint max_threads, gboolean exclusive, GError **error)
{
  (void) max_threads, (void) error;
  GThreadPool *pool = &g_pools[g_made++];
  *pool = (GThreadPool) { .func = function, .user_data = data, .exclusive = exclusive };
  return pool;
}

static gboolean
play_push (GThreadPool *pool, gpointer item, GError **error)
{
  (void) pool, (void) item, (void) error;
  return TRUE;
}

static void
function_of_pool (gpointer item, gpointer data)
{
  struct gp_thread *thread = gp_thread_known ();
  g_label = gp_label_current (thread, (uintptr_t) __builtin_frame_address (0));
  g_depth = thread->depth;
  g_item = item;
  g_data = data;
}

/* The tracer's functions are in libgstreamer; this program takes its part where its pools are tested. */
static void
start (bool task)
{
  core_start (100);
  *(void **) &g_gst.gst_tracing_register_hook_ = task ? (void *) play_new : dlsym (RTLD_DEFAULT, "puts");
  g_real_pool_new = play_new;
  g_real_pool_push = play_push;
}

static void
push_as (uint32_t label, GThreadPool *pool, void *item)
{
  enter (TOP, label);
  gp_pool_push (pool, item, NULL);
  leave (TOP);
}

static uint32_t
run (GThreadPool *pool, void *item)
{
  pool->func (item, pool->user_data);
  return g_label;
}

static GThreadPool *
make_as (uint32_t label)
{
  enter (TOP, label);
  GThreadPool *pool = gp_pool_new (function_of_pool, &g_made, 1, FALSE, NULL);
  leave (TOP);
  return pool;
}

TEST (an_item_runs_for_the_element_that_pushed_it)
{
  start (false);
  uint32_t maker = element ("maker"), one = element ("one"), two = element ("two");
  GThreadPool *pool = make_as (maker);
  push_as (two, pool, &g_items[2]);
  push_as (one, pool, &g_items[1]);
  push_as (maker, pool, &g_items[0]);
  CHECK_EQUAL (run (pool, &g_items[1]), one);
  CHECK_EQUAL (g_depth, 1);
  CHECK_EQUAL (run (pool, &g_items[0]), maker);
  CHECK_EQUAL (run (pool, &g_items[2]), two);
  CHECK_EQUAL ((uintptr_t) g_item, (uintptr_t) &g_items[2]);
  CHECK_EQUAL ((uintptr_t) g_data, (uintptr_t) &g_made);
  CHECK_EQUAL (gp_thread_known ()->depth, 0);
}

static void
fork_here (gpointer item, gpointer data)
{
  pid_t *child = item;
  *child = fork ();
  if (*child == 0) /* its clock begins anew */
    burn (gp_thread_known ()->meter.cpu_ns + CHILD_NS);
  (void) data;
}

TEST (a_child_that_comes_back_from_an_item_adds_nothing_to_its_parents_accounts)
{
  start (false);
  fflush (stdout);
  pid_t child = -1;
  uint32_t maker = element ("maker");
  enter (TOP, maker);
  GThreadPool *pool = gp_pool_new (fork_here, NULL, 1, FALSE, NULL);
  leave (TOP);
  pool->func (&child, pool->user_data);
  if (child == 0)
    _exit (0);
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 0);
  CHECK_WITHIN (accounted_ns (maker, -1), 0, CHILD_NS / 2);
}

TEST (an_item_that_no_element_pushed_runs_for_the_pools_maker)
{
  start (false);
  uint32_t maker = element ("maker");
  GThreadPool *pool = make_as (maker);
  GThreadPool *nobodys = gp_pool_new (function_of_pool, NULL, 1, FALSE, NULL);
  gp_pool_push (pool, g_items, NULL);
  gp_pool_push (nobodys, g_items, NULL);
  CHECK_EQUAL (run (pool, g_items), maker);
  CHECK_EQUAL (run (nobodys, g_items), gp_label_fixed (GP_LABEL_POOL));
}

TEST (equal_items_are_told_apart_by_pool_and_by_turn)
{
  start (false);
  uint32_t one = element ("one"), two = element ("two"), three = element ("three");
  GThreadPool *pool = gp_pool_new (function_of_pool, NULL, 1, FALSE, NULL);
  GThreadPool *other = gp_pool_new (function_of_pool, NULL, 1, FALSE, NULL);
  push_as (one, pool, g_items);
  push_as (three, other, g_items);
  push_as (two, pool, g_items);
  CHECK_EQUAL (run (pool, g_items), one);
  CHECK_EQUAL (run (pool, g_items), two);
  CHECK_EQUAL (run (other, g_items), three);
  CHECK_EQUAL (run (pool, g_items), gp_label_fixed (GP_LABEL_POOL));
}

TEST (of_too_many_waiting_items_the_oldest_fall_to_the_pools_maker)
{
  start (false);
  uint32_t maker = element ("maker"), one = element ("one");
  GThreadPool *pool = make_as (maker);
  for (int i = 0; i < 8192; i++)
    push_as (one, pool, &g_items[i]);
  CHECK_EQUAL (run (pool, &g_items[0]), maker);
  CHECK_EQUAL (run (pool, &g_items[4095]), maker);
  for (int i = 8191; i >= 4096; i--)
    CHECK_EQUAL (run (pool, &g_items[i]), one);
  push_as (one, pool, g_items);
  CHECK_EQUAL (run (pool, g_items), one);
}

TEST (a_worker_stays_with_the_last_it_worked_for)
{
  start (false);
  uint32_t maker = element ("maker"), one = element ("one");
  GThreadPool *pool = make_as (maker);
  push_as (one, pool, g_items);
  run (pool, g_items);
  CHECK_EQUAL (gp_thread_known ()->base, one);
}

/* No label is entered: the task's own element is known later, as the base, and an entry would hide it. */
TEST (gstreamers_pools_set_the_base)
{
  start (true);
  uint32_t one = element ("one");
  uint32_t pipeline = bin ("pipeline0");
  GThreadPool *pool = make_as (pipeline);
  push_as (one, pool, g_items);
  CHECK_EQUAL (run (pool, g_items), one);
  CHECK_EQUAL (g_depth, 0);
  push_as (pipeline, pool, g_items);
  uint32_t label = run (pool, g_items);
  CHECK_EQUAL (label, gp_label_own_work (pipeline));
  CHECK_EQUAL (g_segment->labels[label].kind, GP_LABEL_ELEMENT);
  /* The pool is shared, whichever element needed it first. */
  gp_label_set_base (gp_thread_known (), gp_label_fixed (GP_LABEL_MAIN));
  gp_pool_push (pool, g_items, NULL);
  CHECK_EQUAL (run (pool, g_items), gp_label_fixed (GP_LABEL_TASK));
}

static void
play_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  (void) pool, (void) immediate, (void) wait;
}

/* Of the pool's maker, and of elements whose items never ran. */
TEST (a_pool_that_is_freed_keeps_no_label)
{
  start (false);
  g_real_pool_free = play_free;
  uint32_t before = rows_in_use (g_segment->label_bits, GP_LABEL_WORDS);
  for (int i = 0; i < 2; i++) {
    uint32_t maker = element ("maker"), one = element ("one");
    GThreadPool *pool = make_as (maker);
    push_as (one, pool, g_items);
    gp_pool_free (pool, i == 0, i == 0);
    gp_label_gone (maker);
    gp_label_gone (one);
    gp_label_set_base (gp_thread_known (), gp_label_fixed (GP_LABEL_MAIN));
    if (i == 1) /* nobody waited for the items: the last one may run for anyone */
      CHECK_EQUAL (run (pool, g_items), one);
  }
  others_come_and_go (500, TOP);
  free_ended ();
  CHECK_WITHIN (rows_in_use (g_segment->label_bits, GP_LABEL_WORDS), before, before + 70);
}

TEST (after_the_stop_work_goes_on_without_labels)
{
  start (false);
  GThreadPool *pool = make_as (element ("maker"));
  gp_pool_push (pool, g_items, NULL);
  atomic_store (&g_active, false);
  run (pool, g_items);
  CHECK_EQUAL (g_depth, 0);
  CHECK_EQUAL ((uintptr_t) g_item, (uintptr_t) g_items);
}
