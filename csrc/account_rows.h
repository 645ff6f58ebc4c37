/* SPDX-License-Identifier: MIT */
/* account_rows.h: between account.c, which measures, and account_rows.c, which finds room: a thread's tallies, and the
 * segment's rows behind them.
 *
 * Context: hook, on the thread itself.
 */
#ifndef GP_ACCOUNT_ROWS_H
#define GP_ACCOUNT_ROWS_H

#include "thread.h"

/* The thread's tally of a label it has none of yet; the current one where there is no memory for another.
 * MT-Safe | AS-Unsafe (rare mmap) */
GP_INTERNAL struct gp_tally *gp_tally_make (struct gp_thread *thread, uint32_t label);

static inline struct gp_tally *
gp_tally_find (struct gp_thread *thread, uint32_t label)
{
  struct gp_tally *tally = thread->meter.buckets[label % GP_TALLY_BUCKETS];
  for (; tally != NULL; tally = tally->next)
    if (tally->label == label)
      return tally;
  return gp_tally_make (thread, label);
}

#endif
