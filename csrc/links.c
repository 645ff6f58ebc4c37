/* SPDX-License-Identifier: MIT */
/* links.c: which elements are linked.
 *
 * A link is met where data first comes by a pad on a thread, and again after each change to a pipeline's shape: it
 * costs nothing where data flows, and what none went over is not told.
 *
 * Context: the slow path of hooks.
 */
#include "links.h"

#include <pthread.h>

enum
{
  SET_LOG2 = 14 /* open addressing: at most half full */
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t g_set[1 << SET_LOG2]; /* under g_lock */

_Static_assert (2 * GP_LINKS <= 1 << SET_LOG2, "probing would not end");

static bool
is_element (uint32_t label)
{
  return g_segment->labels[label].kind == GP_LABEL_ELEMENT;
}

void
gp_links_add (uint32_t source, uint32_t sink)
{
  if (source == sink || !is_element (source) || !is_element (sink))
    return;
  uint64_t link = (uint64_t) source << 32 | sink;
  uint32_t at = link * 0x9e3779b97f4a7c15u >> (64 - SET_LOG2);
  pthread_mutex_lock (&g_lock);
  while (g_set[at] != 0 && g_set[at] != link)
    at = (at + 1) % (1 << SET_LOG2);
  uint32_t count = g_segment->link_count;
  if (g_set[at] == 0 && count < GP_LINKS) {
    g_set[at] = link;
    g_segment->links[count] = (struct gp_pad_link) { source, sink };
    gp_store_release (&g_segment->link_count, count + 1); /* publishes the link; pairs with the agent's acquire */
  } else if (g_set[at] == 0) {
    gp_count (GP_COUNTER_LINKS_FULL);
  }
  pthread_mutex_unlock (&g_lock);
}
