/* SPDX-License-Identifier: MIT */
/* clang-format off */
/* account_clock.h: the first of two heuristics of account.c: when a thread's clock is read, and how a read corrects the
 * cycle counter.
 *
 * The cycle counter takes some ns to read, but runs on while the thread sleeps or is preempted. The clock of the
 * thread's CPU time is right, but is a system call. So the cycles of a short stretch are first kept as an estimate, in
 * the tally of its label. The next read of the clock moves all estimates to the accounts:
 *  - if the clock saw less time than the estimates have, each gets its part of what the clock saw;
 *  - if the clock saw more, the rest goes to the label of the stretch that ends with the read.
 * So after each read the sum of the thread's accounts is its CPU time. The clock is read at the latest after a
 * millisecond by the counter (UNREAD_NS): an account cannot be wrong by more at any time.
 *
 * Which stretches end with a read depends on a state of the thread, the same for all its labels (busy_reads):
 *
 * | state        | meaning                          | leaves when                     | cost                        |
 * | ------------ | -------------------------------- | ------------------------------- | --------------------------- |
 * | sleeps: < 64 | one of the last 64 reads saw     | 64 reads in a row find neither  | a read at the end of each   |
 * |              | less time than the counter: the  | sleep nor preemption -> busy    | stretch of 50 us or more;   |
 * |              | thread slept or was preempted    |                                 | of shorter ones, one a ms   |
 * | busy: >= 64  | the last 64 reads found the      | one read finds sleep or         | one read a ms, however long |
 * |              | thread on a processor all along  | preemption -> sleeps, from 0 on | the stretches are           |
 *
 * A thread begins in the first state. What account_sleepers.h has measured ends with a read in either.
 *
 * Context: hook, on the thread itself.
 */
/* clang-format on */
#ifndef GP_ACCOUNT_CLOCK_H
#define GP_ACCOUNT_CLOCK_H

#include <time.h>
#include "shim/base/cycle_counter.h"
#include "shim/base/thread_state.h"

#define SHORT_NS 50000    /* a shorter stretch is estimated by the counter: a thread hardly sleeps in it */
#define UNREAD_NS 1000000 /* what may pass by the counter before the clock is read */
#define SLEPT_NS 1500     /* no thread sleeps for less: two switches of context take longer */
/* Interrupts may take one part in so many of a busy thread's time. */
#define INTERRUPTED_PART 32
#define BUSY_READS 64

/* The first two in cycles. Written by the poller, read by all; gp_account_calibrate(). */
extern GP_INTERNAL uint64_t g_short_cycles, g_unread_cycles;

/* What a read of the thread's clock found about the time since the read before. */
struct clock_read
{
  uint64_t cpu_ns;       /* the clock now */
  uint64_t true_ns;      /* CPU time by the clock */
  uint64_t estimated_ns; /* by the counter, without the open stretch */
  bool slept;            /* the thread slept or was preempted */
};

/* Whether a stretch of so many cycles has to end with a read. A counter that has gone back (the thread moved to a
 * processor whose counter lags) makes a stretch without end: it ends with a read too. */
static inline bool
clock_is_due (const struct gp_meter *meter, uint64_t cycles)
{
  uint64_t longest = gp_load (meter->busy_reads < BUSY_READS ? &g_short_cycles : &g_unread_cycles);
  return cycles >= longest || meter->unread_cycles >= gp_load (&g_unread_cycles);
}

/* Ends the open stretch without a read: its cycles are added to the estimate of its label. */
static inline void
clock_estimate (struct gp_meter *meter, uint64_t cycles)
{
  struct gp_tally *tally = meter->current;
  if (tally->estimate_cycles == 0 && cycles != 0) {
    tally->next = meter->estimated;
    meter->estimated = tally;
  }
  gp_store (&tally->estimate_cycles, tally->estimate_cycles + cycles);
}

/* Reads the calling thread's clock; cycles: of the open stretch. */
static inline struct clock_read
clock_take_read (struct gp_meter *meter, uint64_t cycles)
{
  struct clock_read read = { .cpu_ns = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID) };
  uint64_t counted_ns = gp_cycles_to_ns (meter->unread_cycles);
  read.true_ns = read.cpu_ns > meter->cpu_ns ? read.cpu_ns - meter->cpu_ns : 0;
  read.estimated_ns = gp_cycles_to_ns (meter->unread_cycles - cycles);
  read.slept = counted_ns > read.true_ns + SLEPT_NS;
  bool was_busy = counted_ns <= read.true_ns + SLEPT_NS + read.true_ns / INTERRUPTED_PART;
  meter->busy_reads = was_busy ? meter->busy_reads + 1 : 0;
  meter->unread_cycles = 0;
  return read;
}

/* The one place where time is added. A row has one writer; the overflow of a label has many. */
static inline void
add_ns (struct gp_tally *tally, uint64_t ns)
{
  if (tally->account != NULL)
    /* After its estimate; pairs with publish_once(). */
    gp_store_release (&tally->account->ns, gp_load (&tally->account->ns) + ns);
  else
    gp_add (&g_segment->labels[tally->label].overflow_ns, ns);
}

/* Moves the estimates to the accounts, cut down to what the clock saw. Returns the sum added. */
static inline uint64_t
clock_add_estimates (struct gp_meter *meter, struct clock_read read)
{
  uint64_t added_ns = 0;
  for (struct gp_tally *tally = meter->estimated; tally != NULL; tally = tally->next) {
    uint64_t ns = gp_cycles_to_ns (tally->estimate_cycles);
    if (read.true_ns < read.estimated_ns)
      ns = (uint64_t) ((unsigned __int128) ns * read.true_ns / read.estimated_ns);
    /* In this order: the poller sees the time in one place or in none, never in both. */
    gp_store (&tally->estimate_cycles, 0);
    add_ns (tally, ns);
    added_ns += ns;
  }
  meter->estimated = NULL;
  return added_ns;
}

/* Corrects the accounts by the read. What the clock saw beyond the estimates goes to the current label. */
static inline void
clock_correct (struct gp_meter *meter, struct clock_read read)
{
  gp_store (&meter->sequence, meter->sequence + 1);
  atomic_thread_fence (memory_order_release); /* pairs with the poller's acquire in publish_once() */
  uint64_t added_ns = clock_add_estimates (meter, read);
  if (read.true_ns > added_ns)
    add_ns (meter->current, read.true_ns - added_ns);
  gp_store (&meter->cpu_ns, read.cpu_ns);
  gp_store_release (&meter->sequence, meter->sequence + 1);
}

#endif
