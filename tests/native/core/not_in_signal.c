/* SPDX-License-Identifier: MIT */
/* not_in_signal.c: what happens where code that may not run in the handler of a tick does run there.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"

/* As gp_handler() marks its thread while it takes a sample. */
static void
start_in_handler (void)
{
  core_start (1);
  gp_threads_disarm ();
  gp_thread_known ()->in_handler = true;
}

TEST (a_lock_in_the_handler_is_found)
{
  start_in_handler ();
  gp_threads_publish (false);
}

TEST (a_switch_of_labels_in_the_handler_is_found)
{
  start_in_handler ();
  enter (1 << 20, gp_label_fixed (GP_LABEL_THREAD));
}

TEST (a_new_label_in_the_handler_is_found)
{
  start_in_handler ();
  element ("a");
}

TEST (nothing_is_found_elsewhere)
{
  core_start (1);
  burn (20000000);
  enter (1 << 20, element ("a"));
  leave (1 << 20);
  gp_threads_publish (false);
}
