/* SPDX-License-Identifier: MIT */
/* account.h: how much CPU a thread has spent under each label.
 *
 * The stretch behind a switch of label is closed by the cycle counter where it is short, for then the thread has hardly
 * slept in it, and by the thread's CPU clock (a system call) where it is long. Each such read corrects the short
 * stretches since the one before, so that the sum of a thread's accounts is its CPU time. A thread that neither sleeps
 * nor is preempted has its clock read once a millisecond, whatever the length of its stretches.
 *
 * Some short stretches do sleep: a thread that hands work to another and has it back in 20 us. Which labels sleep in
 * them is found by measuring a few stretches of each label by the clock alone, at both ends; those that do are always
 * measured so.
 *
 * Context: hook, on the thread itself; gp_account_publish() is the poller's; nothing here is for the handler.
 */
#ifndef GP_ACCOUNT_H
#define GP_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

struct gp_thread;
struct gp_account;

enum
{
  GP_FIRST_TABLE_LOG2 = 6,
  GP_FIRST_TABLE = 1 << GP_FIRST_TABLE_LOG2,
  GP_SLAB_TALLIES = 63 /* a slab is a page */
};

/* One account of this thread, and what of it rests on the cycle counter alone. */
struct gp_tally
{
  uint32_t label;           /* 0: free. It has a reference from here */
  uint32_t trust;           /* entries that may pass before one is checked by the clock at both ends */
  uint32_t patience;        /* what trust starts from; doubled by each check that found no sleep */
  uint32_t calm_wanted;     /* checks without sleep still wanted before trust is given */
  uint64_t estimate_cycles; /* not in the account yet; read by the poller */
  struct gp_account
      *account;          /* in the segment; NULL: no row was free, the label's overflow takes it. Read by the poller */
  struct gp_tally *next; /* with an estimate, or free */
  uint32_t marked;       /* the last sweep that found it in use */
};

/* Where a thread's tallies lie. Not malloc: that may be anything in a host, with locks that its threads hold when they
 * come by our hooks, and a leak checker of the host's would take the tallies for lost. */
struct gp_slab
{
  struct gp_slab *next;
  uint32_t used; /* tallies at the front that were ever in use */
  struct gp_tally tallies[GP_SLAB_TALLIES];
};

struct gp_meter
{
  /* owned by the thread */
  uint64_t cycles;            /* at the last switch */
  uint64_t unread_cycles;     /* since the clock was last read */
  uint32_t calm_reads;        /* of the clock, one after the other, that found no sleep and no preemption */
  bool is_checked;            /* the clock was read when the open stretch began, and will be at its end */
  struct gp_tally *estimated; /* tallies with an estimate */
  struct gp_tally **table;    /* by label, open addressing, at most half full */
  uint32_t table_shift;       /* it has 1 << (32 - table_shift) places */
  uint32_t tallies;           /* in the table */
  uint32_t sweep_at;          /* with so many, those of elements that are gone are looked for */
  uint32_t sweeps;
  struct gp_tally *free;
  struct gp_slab *slabs;   /* the poller reads them, under the registry lock */
  struct gp_tally nowhere; /* out of memory at the thread's birth: its time goes unaccounted, into [unseen] */
  /* written by the thread between two raises of sequence (odd: in between); read by the poller */
  uint32_t sequence;
  uint64_t cpu_ns; /* the thread's clock when it was last read */
  struct gp_tally *current;
  /* the poller's */
  uint64_t looked_ns; /* the thread's clock at its last whole look; 0: none */
};

/* Finds the rate of the cycle counter; takes a millisecond. Called again by the poller, over an ever longer base.
 * MT-Unsafe | AS-Unsafe */
void gp_account_calibrate (void) __attribute__ ((visibility ("hidden")));

/* Opens the accounts of a thread that has used cpu_ns so far, of which all before goes to label `before`.
 * Lifecycle; the thread itself, or the poller before it publishes the thread. MT-Safe | AS-Unsafe (mmap) */
void gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label)
    __attribute__ ((visibility ("hidden")));

/* Closes the stretch behind and goes on under label. MT-Safe | AS-Unsafe (rare mmap) */
void gp_account_switch (struct gp_thread *thread, uint32_t label) __attribute__ ((visibility ("hidden")));

/* From outside: publishes closed_ns of the thread's accounts, open stretch included. cpu_ns is the thread's clock now.
 * Requires: the registry lock. MT-Safe | AS-Unsafe */
void gp_account_publish (struct gp_thread *thread) __attribute__ ((visibility ("hidden")));

/* The last close, by the thread itself or, with own = false, for one that vanished; marks its accounts ended and frees
 * the tallies. Requires: the registry lock. MT-Safe | AS-Unsafe */
void gp_account_end (struct gp_thread *thread, bool own) __attribute__ ((visibility ("hidden")));

#endif
