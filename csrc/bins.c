/* SPDX-License-Identifier: MIT */
/* bins.c: bins that work themselves: rtspsrc receives, webrtcbin and adaptive demuxers have threads and pads of their
 * own. A state change of a bin is mostly that of its children, so it has a label of its own. What the bin's threads,
 * tasks and own pads do afterwards is an element's work.
 *
 * Context: lifecycle, on the host's threads, and the slow path of hooks.
 */
#include "bins.h"

#include "label.h"

uint32_t
gp_bins_own_work (uint32_t label)
{
  const struct gp_label *bin = &g_segment->labels[label];
  if (bin->kind != GP_LABEL_STATE_CHANGE)
    return label;
  const char *strings = g_segment->strings;
  return gp_label_intern (
      GP_LABEL_ELEMENT, strings + bin->name, strings + bin->path, strings + bin->factory, strings + bin->pipeline);
}

uint32_t
gp_bins_label_to_hand_over (const struct gp_thread *thread)
{
  uint32_t label = gp_label_to_inherit (thread);
  return label != 0 ? gp_bins_own_work (label) : 0;
}
