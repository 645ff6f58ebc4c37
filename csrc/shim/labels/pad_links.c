/* SPDX-License-Identifier: MIT */
/* pad_links.c: which elements are linked.
 *
 * A link is recorded when data first passes a pad on a thread, and again after the pad was linked anew. So it costs
 * nothing on the steady path, and a link that no data passed is not recorded. The agent drains the table. It frees no
 * label before it has read the links, so the labels of a link are valid when it reads them.
 *
 * Context: the slow path of hooks.
 */
#include "shim/labels/pad_links.h"

#include <pthread.h>
#include "shim/base/thread_state.h"

enum
{
  RECENT_LOG2 = 10
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
/* Links that were recorded lately, since several threads record the same ones. Under g_lock. */
static struct
{
  uint64_t labels, serials;
} g_recent[1 << RECENT_LOG2];

_Static_assert ((GP_LINKS & (GP_LINKS - 1)) == 0, "counts of links wrap");

static bool
is_element (uint32_t label)
{
  return g_segment->labels[label].kind == GP_LABEL_ELEMENT;
}

static bool
was_recorded (uint32_t source, uint32_t sink)
{
  uint64_t labels = (uint64_t) source << 32 | sink;
  uint64_t serials = (uint64_t) g_segment->labels[source].serial << 32 | g_segment->labels[sink].serial;
  uint32_t at = labels * 0x9e3779b97f4a7c15u >> (64 - RECENT_LOG2);
  bool recorded = g_recent[at].labels == labels && g_recent[at].serials == serials;
  g_recent[at].labels = labels;
  g_recent[at].serials = serials;
  return recorded;
}

void
gp_pad_links_add (uint32_t source, uint32_t sink)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (source == sink || !is_element (source) || !is_element (sink))
    return;
  pthread_mutex_lock (&g_lock);
  uint32_t written = g_segment->links_written;
  if (was_recorded (source, sink)) {
    /* known to the agent already */
  } else if (written - gp_load_acquire (&g_segment->links_read) < GP_LINKS) { /* pairs with the agent's release */
    g_segment->links[written % GP_LINKS] = (struct gp_pad_link) { source, sink };
    gp_store_release (&g_segment->links_written, written + 1); /* publishes the link; pairs with the agent's acquire */
  } else {
    gp_count (GP_COUNTER_LINKS_FULL);
  }
  pthread_mutex_unlock (&g_lock);
}
