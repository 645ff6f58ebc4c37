/* SPDX-License-Identifier: MIT */
/* links.c: links between elements are recorded; a table that is full.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include "shim/labels/pad_links.h"

static struct gp_link_row g_rows[GP_LINKS];

static uint32_t
take (void)
{
  return gp_reader_take_links (g_segment, g_rows, GP_LINKS);
}

static bool
is_told (uint32_t index, uint32_t source, uint32_t sink)
{
  return g_rows[index].source == source && g_rows[index].sink == sink;
}

TEST (a_link_is_told_once_and_each_way)
{
  core_start (100);
  uint32_t a = element ("a"), b = element ("b");
  for (int i = 0; i < 3; i++) {
    gp_pad_links_add (a, b);
    gp_pad_links_add (b, a);
  }
  CHECK_EQUAL (take (), 2);
  CHECK (is_told (0, a, b));
  CHECK (is_told (1, b, a));
  CHECK_EQUAL (g_rows[0].source_serial, g_segment->labels[a].serial);
  CHECK_EQUAL (take (), 0);
}

TEST (what_is_no_element_is_linked_to_nothing)
{
  core_start (100);
  uint32_t a = element ("a"), main_thread = gp_label_fixed (GP_LABEL_MAIN);
  gp_pad_links_add (a, a);
  gp_pad_links_add (main_thread, a);
  gp_pad_links_add (a, main_thread);
  gp_pad_links_add (0, a);
  CHECK_EQUAL (take (), 0);
}

TEST (links_that_the_agent_has_not_read_have_an_end_and_are_counted)
{
  core_start (100);
  enum
  {
    SIDE = 160
  };
  uint32_t sources[SIDE], sinks[SIDE], pairs = SIDE * SIDE;
  CHECK (pairs > GP_LINKS);
  for (uint32_t i = 0; i < SIDE; i++) {
    sources[i] = element ("source");
    sinks[i] = element ("sink");
  }
  for (uint32_t i = 0; i < SIDE; i++)
    for (uint32_t k = 0; k < SIDE; k++)
      gp_pad_links_add (sources[i], sinks[k]);
  CHECK_EQUAL (counter (GP_COUNTER_LINKS_FULL), pairs - GP_LINKS);
  CHECK_EQUAL (take (), GP_LINKS);
  gp_pad_links_add (sources[0], sinks[1]);
  CHECK_EQUAL (take (), 1);
  CHECK (is_told (0, sources[0], sinks[1]));
}
