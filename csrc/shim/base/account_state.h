/* SPDX-License-Identifier: MIT */
/* account_state.h: what a thread keeps for its accounts of CPU time: one tally for each label, and one meter.
 *
 * A stretch is the time between two switches of label. The rules by which stretches become CPU time:
 * labels/account.h.
 *
 * Context: data. The thread itself writes it, in hook context; the poller reads what is marked so.
 */
#ifndef GP_ACCOUNT_STATE_H
#define GP_ACCOUNT_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include "shared/abi.h"

enum
{
  GP_FIRST_TABLE_LOG2 = 6,
  GP_FIRST_TABLE = 1 << GP_FIRST_TABLE_LOG2,
  GP_SLAB_TALLIES = 63 /* a slab is a page */
};

/* One label's account on this thread. */
struct gp_tally
{
  uint32_t label; /* 0: free. It has a reference from here */
  /* whether the label sleeps in short stretches: labels/account_sleepers.h */
  uint32_t skips_left;  /* stretches that go unmeasured before the next one is measured */
  uint32_t skip_length; /* what skips_left starts from after a measured stretch */
  uint32_t probation;   /* measured stretches without sleep that are still wanted before any is skipped */
  /* CPU time by the cycle counter, not in the account yet: labels/account_clock.h */
  uint64_t estimate_cycles; /* read by the poller */
  struct gp_account
      *account;          /* in the segment; NULL: no row was free, the label's overflow takes it. Read by the poller */
  struct gp_tally *next; /* in the list of those with an estimate, or of those that are free */
  uint32_t marked;       /* the last sweep that found it in use */
};

/* Memory for tallies. Not from malloc: the host may have replaced it by one whose locks its threads hold when they
 * reach our hooks, and a leak checker of the host's would report the tallies as lost. */
struct gp_slab
{
  struct gp_slab *next;
  uint32_t used; /* tallies at the front that were ever in use */
  struct gp_tally tallies[GP_SLAB_TALLIES];
};

struct gp_meter
{
  /* owned by the thread */
  uint64_t cycles;            /* the cycle counter at the last switch */
  uint64_t unread_cycles;     /* cycles since the thread's clock was last read */
  uint32_t busy_reads;        /* reads of the clock in a row that found neither sleep nor preemption */
  bool is_measured;           /* the open stretch began with a read of the clock, and will end with one */
  struct gp_tally *estimated; /* list of the tallies with an estimate */
  struct gp_tally **table;    /* by label, open addressing, at most half full */
  uint32_t table_shift;       /* it has 1 << (32 - table_shift) places */
  uint32_t tallies;           /* in the table */
  uint32_t sweep_at;          /* number of tallies at which those of elements that are gone are looked for */
  uint32_t sweeps;
  struct gp_tally *free;
  struct gp_slab *slabs;   /* the poller reads them, under the registry lock */
  struct gp_tally nowhere; /* out of memory at the thread's birth: its time goes unaccounted, into [unseen] */
  /* written by the thread between two increments of sequence (odd: in between); read by the poller */
  uint32_t sequence;
  uint64_t cpu_ns; /* the thread's clock when it was last read */
  struct gp_tally *current;
  /* the poller's */
  uint64_t published_cpu_ns; /* the thread's clock when its accounts were last published as a whole; 0: never */
};

#endif
