/* SPDX-License-Identifier: MIT */
/* account.c: CPU time per thread and label: the switch from one label to the next, and what the poller sees of it.
 *
 * Two heuristics decide how a stretch is measured. They know nothing of each other and share one read of the clock, in
 * end_by_clock(): account_clock.h corrects the cycle counter, account_sleepers.h finds the labels that sleep in short
 * stretches.
 *
 * Context: hook (gp_account_switch), lifecycle (open, end), poller (publish, calibrate).
 */
#define _GNU_SOURCE
#include "shim/labels/account.h"

#include "shim/labels/account_clock.h"
#include "shim/labels/account_sleepers.h"
#include "shim/labels/account_table.h"

uint64_t g_short_cycles, g_unread_cycles;

void
gp_account_calibrate (void)
{
  gp_cycles_calibrate ();
  if (g_ns_per_cycle == 0)
    return;
  gp_store (&g_short_cycles, gp_cycles_from_ns (SHORT_NS));
  gp_store (&g_unread_cycles, gp_cycles_from_ns (UNREAD_NS));
}

/* Ends the open stretch, which took so many cycles, with a read of the thread's clock. */
static void
end_by_clock (struct gp_meter *meter, uint64_t cycles)
{
  struct clock_read read = clock_take_read (meter, cycles);
  if (meter->is_measured)
    sleepers_learn (meter->current, read.slept);
  if (read.slept)
    sleepers_suspect (meter->estimated);
  clock_correct (meter, read);
}

void
gp_account_switch (struct gp_thread *thread, uint32_t label)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_meter *meter = &thread->meter;
  struct gp_tally *next = meter->current->label == label ? meter->current : gp_tally_find (thread, label);
  bool measures_next = sleepers_is_due (next);
  uint64_t now = gp_cycles_read ();
  uint64_t cycles = now - meter->cycles;
  meter->cycles = now;
  meter->unread_cycles += cycles;
  if (meter->is_measured || measures_next || clock_is_due (meter, cycles))
    end_by_clock (meter, cycles);
  else
    clock_estimate (meter, cycles);
  meter->is_measured = measures_next;
  if (!measures_next)
    sleepers_skip (next);
  __atomic_store_n (&meter->current, next, __ATOMIC_RELEASE);
}

void
gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
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

/* Publishes the accounts of a thread that runs on: each with its estimate, and that of the current label with what the
 * clock has seen since its last read. False: meanwhile the thread read its clock, or switched to another label, whose
 * stretch may be a long one. Then what the clock has seen is left out. */
static bool
publish_once (struct gp_thread *thread)
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
  meter->published_cpu_ns = cpu_ns;
  return true;
}

void
gp_account_publish (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  /* A thread that has not run since is as it was: no need to go through its labels. */
  if (thread->meter.published_cpu_ns != 0 && gp_clock_ns (thread->cpu_clock) == thread->meter.published_cpu_ns)
    return;
  /* Not until it works: a thread that switches faster than we can read has an open stretch too short to matter. */
  for (int tries = 0; tries < 8 && !publish_once (thread); tries++)
    continue;
}

void
gp_account_end (struct gp_thread *thread, bool own)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (own)
    end_by_clock (&thread->meter, 0);
  gp_account_table_end (thread, own);
  thread->meter.current = NULL;
}
