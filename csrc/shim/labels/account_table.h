/* SPDX-License-Identifier: MIT */
/* account_table.h: a thread's tallies, and the rows of the segment that they are written to.
 *
 * Context: hook, on the thread itself.
 */
#ifndef GP_ACCOUNT_TABLE_H
#define GP_ACCOUNT_TABLE_H

#include "shim/base/thread_state.h"

/* A thread begins without tallies, in the memory of its slot. MT-Safe | AS-Safe */
GP_INTERNAL void gp_account_table_init (struct gp_thread *thread);

/* Makes the thread's tally of a label that has none yet. Returns the current tally where there is no memory for
 * another, or the label has ended. MT-Safe | AS-Unsafe (rare mmap, tries a lock) */
GP_INTERNAL struct gp_tally *gp_tally_make (struct gp_thread *thread, uint32_t label);

/* Ends all of a thread's accounts. own = false: with the sums that were last published. Requires: the registry lock.
 * MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_account_table_end (struct gp_thread *thread, bool own);

/* The place in the table where the search for a label begins. */
static inline uint32_t
gp_tally_place (const struct gp_meter *meter, uint32_t label)
{
  return label * 0x9e3779b1u >> meter->table_shift;
}

/* The thread's tally of the label; NULL: it has none. */
static inline struct gp_tally *
gp_tally_known (const struct gp_meter *meter, uint32_t label)
{
  uint32_t at = gp_tally_place (meter, label);
  struct gp_tally *tally = meter->table[at];
  while (tally != NULL && __builtin_expect (tally->label != label, 0))
    tally = meter->table[at = (at + 1) & (UINT32_MAX >> meter->table_shift)];
  return tally;
}

static inline struct gp_tally *
gp_tally_find (struct gp_thread *thread, uint32_t label)
{
  struct gp_tally *tally = gp_tally_known (&thread->meter, label);
  return tally != NULL ? tally : gp_tally_make (thread, label);
}

#endif
