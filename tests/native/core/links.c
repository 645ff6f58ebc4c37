/* SPDX-License-Identifier: MIT */
/* links.c: what is told of links between elements, and a table that is full.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include "links.h"

static bool
is_told (uint32_t index, uint32_t source, uint32_t sink)
{
  return g_segment->links[index].source == source && g_segment->links[index].sink == sink;
}

TEST (a_link_is_told_once_and_each_way)
{
  core_start (100);
  uint32_t a = element ("a"), b = element ("b");
  for (int i = 0; i < 3; i++) {
    gp_links_add (a, b);
    gp_links_add (b, a);
  }
  CHECK_EQUAL (gp_reader_links (g_segment), 2);
  CHECK (is_told (0, a, b));
  CHECK (is_told (1, b, a));
}

TEST (what_is_no_element_is_linked_to_nothing)
{
  core_start (100);
  uint32_t a = element ("a"), main_thread = gp_label_fixed (GP_LABEL_MAIN);
  gp_links_add (a, a);
  gp_links_add (main_thread, a);
  gp_links_add (a, main_thread);
  gp_links_add (0, a);
  CHECK_EQUAL (gp_reader_links (g_segment), 0);
}

TEST (links_beyond_their_number_are_counted)
{
  core_start (100);
  uint32_t side = 1, pairs = 0;
  while (side * side <= GP_LINKS)
    side++;
  uint32_t sources[128], sinks[128];
  CHECK (side <= 128);
  for (uint32_t i = 0; i < side; i++) {
    char name[32];
    snprintf (name, sizeof name, "source%u", i);
    sources[i] = element (name);
    snprintf (name, sizeof name, "sink%u", i);
    sinks[i] = element (name);
  }
  for (uint32_t i = 0; i < side; i++)
    for (uint32_t k = 0; k < side; k++, pairs++)
      gp_links_add (sources[i], sinks[k]);
  CHECK_EQUAL (gp_reader_links (g_segment), GP_LINKS);
  CHECK_EQUAL (counter (GP_COUNTER_LINKS_FULL), pairs - GP_LINKS);
  gp_links_add (sources[0], sinks[0]);
  CHECK_EQUAL (counter (GP_COUNTER_LINKS_FULL), pairs - GP_LINKS);
}
