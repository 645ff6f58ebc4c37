/* SPDX-License-Identifier: MIT */
/* bins.c: bins that work themselves: rtspsrc receives, webrtcbin and adaptive demuxers have threads and pads of their
 * own. A state change of a bin is mostly that of its children, so it has a label of its own. What the bin's threads,
 * tasks and own pads do afterwards is an element's work.
 *
 * Context: lifecycle, on the host's threads, and the slow path of hooks.
 */
#include "bins.h"

#include "label.h"

/* The twin lives as long as the bin, and moves with it (label_rows.c). */
uint32_t
gp_bins_own_work (uint32_t label)
{
  struct gp_label *bin = &g_segment->labels[label];
  if (bin->kind != GP_LABEL_STATE_CHANGE || gp_load (&bin->gone) != 0)
    return label;
  uint32_t known = gp_load_acquire (&bin->work); /* pairs with the exchange below */
  if (known != 0)
    return known;
  uint32_t own = gp_label_make (
      GP_LABEL_ELEMENT, g_segment->strings + bin->name, bin->factory, gp_load (&bin->parent), bin->auto_named != 0);
  if (own == gp_label_fixed (GP_LABEL_OVERFLOW))
    return own;
  if (!__atomic_compare_exchange_n (&bin->work, &known, own, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    gp_label_gone (own); /* another thread was faster */
    return known;
  }
  gp_label_set_parent (own, gp_load (&bin->parent)); /* it may have moved meanwhile */
  if (__atomic_load_n (&bin->gone, __ATOMIC_SEQ_CST) != 0
      && __atomic_exchange_n (&bin->work, 0, __ATOMIC_SEQ_CST) == own)
    gp_label_gone (own);
  return own;
}

uint32_t
gp_bins_label_to_hand_over (const struct gp_thread *thread)
{
  uint32_t label = gp_label_to_inherit (thread);
  return label != 0 ? gp_bins_own_work (label) : 0;
}
