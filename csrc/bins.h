/* SPDX-License-Identifier: MIT */
/* bins.h: what a bin does itself, apart from the state changes of what it holds.
 *
 * Context: lifecycle, on the host's threads, and the slow path of hooks.
 */
#ifndef GP_BINS_H
#define GP_BINS_H

#include "thread.h"

/* The label of what an element does itself: for a bin's state change the bin as an element, else the label given.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_bins_own_work (uint32_t label);

/* The label that work handed to another thread takes along: gp_label_to_inherit(), a bin as an element. 0: no
 * element's. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_bins_label_to_hand_over (const struct gp_thread *thread);

#endif
