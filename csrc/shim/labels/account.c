/* SPDX-License-Identifier: MIT */
/* account.c: CPU time per thread and label.
 *
 * Context: hook (gp_account_switch), lifecycle (open, end), poller (close, calibrate).
 */
#define _GNU_SOURCE
#include "shim/labels/account.h"

#include <time.h>
#include "shim/labels/account_table.h"
#include "shim/base/cycle_counter.h"

/* A shorter stretch goes by the counter, unless its label is known to sleep in such. A longer one too, on a thread that
 * is calm: it was seen neither to sleep nor to be preempted by so many reads of the clock, one after the other. */
#define SHORT_NS 50000
#define CALM_READS 64
/* What may pass by the counter alone before the clock is read; bounds how far off an account can be. */
#define UNREAD_NS 1000000
/* No thread sleeps for less: two switches of context take longer. */
#define SLEPT_NS 1500
/* What interrupts may take of a calm thread's time: one part in so many. */
#define INTERRUPTED_PART 32
/* A label's stretches are checked ever more rarely while they do not sleep: after so many at most, ... */
#define TRUST_MAX 1023
/* ...or so many while the thread is known to sleep somewhere. */
#define TRUST_IF_SLEEPY 63
/* One that slept is measured at every entry until so many in a row did not. */
#define CALM_ENTRIES 64

static uint64_t g_short_cycles, g_unread_cycles; /* written by the poller, read by all */

void
gp_account_calibrate (void)
{
  gp_cycles_calibrate ();
  if (g_ns_per_cycle == 0)
    return;
  gp_store (&g_short_cycles, gp_cycles_from_ns (SHORT_NS));
  gp_store (&g_unread_cycles, gp_cycles_from_ns (UNREAD_NS));
}

/* The one place where time is added. A row has one writer; the overflow of a label has many. */
static void
add_ns (struct gp_tally *tally, uint64_t ns)
{
  if (tally->account != NULL)
    gp_store_release (
        &tally->account->ns, gp_load (&tally->account->ns) + ns); /* after its estimate; pairs with look_at() */
  else
    gp_add (&g_segment->labels[tally->label].overflow_ns, ns);
}

/* Adds what went by the counter: estimated_ns in all, but no more than the clock saw. Returns the sum added. slept: the
 * labels are checked sooner. */
static uint64_t
settle_estimates (struct gp_meter *meter, uint64_t estimated_ns, uint64_t true_ns, bool slept)
{
  uint64_t added_ns = 0;
  for (struct gp_tally *tally = meter->estimated; tally != NULL; tally = tally->next) {
    uint64_t ns = gp_cycles_to_ns (tally->estimate_cycles);
    if (true_ns < estimated_ns)
      ns = (uint64_t) ((unsigned __int128) ns * true_ns / estimated_ns);
    /* In this order: whoever looks meanwhile sees the estimate in one place or in none. */
    gp_store (&tally->estimate_cycles, 0);
    add_ns (tally, ns);
    added_ns += ns;
    if (slept && tally->trust > TRUST_IF_SLEEPY)
      tally->trust = TRUST_IF_SLEEPY;
  }
  meter->estimated = NULL;
  return added_ns;
}

/* The stretch stood between two reads of the clock: does its label sleep in short ones? */
static void
judge (struct gp_tally *tally, bool slept)
{
  if (slept) {
    tally->calm_wanted = CALM_ENTRIES;
    tally->patience = 0;
  } else if (tally->calm_wanted > 0) {
    tally->calm_wanted--;
  } else {
    tally->patience = tally->patience < TRUST_MAX ? 2 * tally->patience + 1 : TRUST_MAX;
  }
  tally->trust = tally->patience;
}

/* Reads the thread's clock: what the counter did not see is the current label's; what it saw too much of (a thread
 * that slept or was preempted in short stretches) is taken back from the short ones, in proportion. cycles: of the
 * stretch that ends here. */
static void
close_exactly (struct gp_meter *meter, uint64_t cycles)
{
  uint64_t cpu_ns = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
  uint64_t true_ns = cpu_ns > meter->cpu_ns ? cpu_ns - meter->cpu_ns : 0;
  uint64_t estimated_ns = gp_cycles_to_ns (meter->unread_cycles - cycles);
  uint64_t unread_ns = gp_cycles_to_ns (meter->unread_cycles);
  bool slept = unread_ns > true_ns + SLEPT_NS;
  bool calm = unread_ns <= true_ns + SLEPT_NS + true_ns / INTERRUPTED_PART;
  gp_store (&meter->sequence, meter->sequence + 1);
  atomic_thread_fence (memory_order_release); /* pairs with the poller's acquire in gp_account_publish() */
  if (meter->is_checked)
    judge (meter->current, slept);
  uint64_t added_ns = settle_estimates (meter, estimated_ns, true_ns, slept);
  if (true_ns > added_ns)
    add_ns (meter->current, true_ns - added_ns);
  gp_store (&meter->cpu_ns, cpu_ns);
  gp_store_release (&meter->sequence, meter->sequence + 1);
  meter->unread_cycles = 0;
  meter->calm_reads = calm ? meter->calm_reads + 1 : 0;
}

static inline void
close_by_counter (struct gp_meter *meter, uint64_t cycles)
{
  struct gp_tally *tally = meter->current;
  if (tally->estimate_cycles == 0 && cycles != 0) {
    tally->next = meter->estimated;
    meter->estimated = tally;
  }
  gp_store (&tally->estimate_cycles, tally->estimate_cycles + cycles);
}

void
gp_account_switch (struct gp_thread *thread, uint32_t label)
{
  struct gp_meter *meter = &thread->meter;
  struct gp_tally *next = meter->current->label == label ? meter->current : gp_tally_find (thread, label);
  bool checks_next = next->trust == 0;
  uint64_t now = gp_cycles_read ();
  uint64_t cycles = now - meter->cycles;
  meter->cycles = now;
  meter->unread_cycles += cycles;
  /* A counter that has gone back (a thread moved to a processor whose counter lags) makes a stretch without end: it
   * goes by the clock too. */
  uint64_t longest = gp_load (meter->calm_reads < CALM_READS ? &g_short_cycles : &g_unread_cycles);
  if (meter->is_checked || checks_next || cycles >= longest || meter->unread_cycles >= gp_load (&g_unread_cycles))
    close_exactly (meter, cycles);
  else
    close_by_counter (meter, cycles);
  meter->is_checked = checks_next;
  if (!checks_next)
    next->trust--;
  __atomic_store_n (&meter->current, next, __ATOMIC_RELEASE);
}

void
gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label)
{
  struct gp_meter *meter = &thread->meter;
  gp_account_table_init (thread);
  meter->current = &meter->nowhere;
  meter->current = gp_tally_find (thread, cpu_ns != 0 ? before : label);
  if (cpu_ns != 0) {
    add_ns (meter->current, cpu_ns);
    meter->cpu_ns = cpu_ns;
    meter->current = gp_tally_find (thread, label);
  }
  meter->cycles = gp_cycles_read ();
}

/* One look at a thread that runs on: publishes its accounts with what is estimated and, for the open one, with what the
 * clock has seen since. False: it read its clock meanwhile, or went on to another label, whose stretch may be a long
 * one; what the clock has seen is left out then. */
static bool
look_at (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  uint32_t sequence = gp_load_acquire (&meter->sequence);
  const struct gp_tally *current = __atomic_load_n (&meter->current, __ATOMIC_ACQUIRE);
  uint64_t counted_ns = gp_load (&meter->cpu_ns), open_ns = 0;
  struct gp_account *open = NULL;
  for (struct gp_slab *slab = meter->slabs; slab != NULL; slab = __atomic_load_n (&slab->next, __ATOMIC_ACQUIRE)) {
    uint32_t used = gp_load_acquire (&slab->used); /* pairs with the release in gp_tally_make() */
    for (uint32_t i = 0; i < used; i++) {
      struct gp_tally *tally = &slab->tallies[i];
      struct gp_account *account = __atomic_load_n (&tally->account, __ATOMIC_ACQUIRE);
      uint64_t ns = account != NULL ? gp_load_acquire (&account->ns) : 0;
      uint64_t estimate_ns = gp_cycles_to_ns (gp_load (&tally->estimate_cycles));
      counted_ns += estimate_ns;
      if (account == NULL)
        continue;
      if (tally == current) {
        open = account;
        open_ns = ns + estimate_ns;
      }
      gp_store (&account->closed_ns, ns + estimate_ns);
    }
  }
  uint64_t cpu_ns = gp_clock_ns (thread->cpu_clock);
  atomic_thread_fence (memory_order_acquire);
  if ((sequence & 1) != 0 || gp_load (&meter->sequence) != sequence || gp_load (&meter->current) != current)
    return false;
  if (open != NULL && cpu_ns > counted_ns)
    gp_store (&open->closed_ns, open_ns + cpu_ns - counted_ns);
  meter->looked_ns = cpu_ns;
  return true;
}

void
gp_account_publish (struct gp_thread *thread)
{
  /* One that has not run since is as it was, however many labels it had to do with. */
  if (thread->meter.looked_ns != 0 && gp_clock_ns (thread->cpu_clock) == thread->meter.looked_ns)
    return;
  /* One that goes from label to label faster than we can look has no open stretch worth the name. */
  for (int tries = 0; tries < 8 && !look_at (thread); tries++)
    continue;
}

void
gp_account_end (struct gp_thread *thread, bool own)
{
  if (own)
    close_exactly (&thread->meter, 0);
  gp_account_table_end (thread, own);
  thread->meter.current = NULL;
}
