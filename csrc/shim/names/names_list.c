/* SPDX-License-Identifier: MIT */
/* names_list.c: adds a name to the segment's list.
 *
 * Context: poller and lifecycle.
 */
#define _GNU_SOURCE
#include "shim/names/names_list.h"

#include <pthread.h>
#include "shim/base/thread_state.h"
#include "shim/signal/module_lookup.h"

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER; /* of the list; a leaf */

void
gp_names_add (uintptr_t start, uint32_t bytes, const char *text)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  pthread_mutex_lock (&g_lock);
  uint32_t count = g_segment->name_count;
  uint32_t offset = count < GP_NAMES ? gp_strings_add (text) : 0;
  if (offset != 0) {
    g_segment->names[count] = (struct gp_name) { start, bytes, offset, gp_modules_generation (), 0 };
    gp_store_release (&g_segment->name_count, count + 1); /* pairs with the acquire in gp_reader_names() */
  }
  pthread_mutex_unlock (&g_lock);
}
