/* SPDX-License-Identifier: MIT */
/* account_table.c: a tally for each label of a thread, and a row of the segment for each tally.
 *
 * An element that is gone leaves a tally on each thread that it ran on. A thread sweeps them out when it makes a new
 * tally and has twice as many as after the last sweep. So both memory and the cost of sweeps are in proportion to the
 * elements that live.
 *
 * Context: hook, the first time a thread runs under a label; lifecycle.
 */
#define _GNU_SOURCE
#include "shim/labels/account_table.h"

#include <string.h>
#include <sys/mman.h>
#include "shim/labels/label_rows.h"

enum
{
  FIRST_SWEEP = 32
};

/* A new row of the segment; NULL: none was free. */
static struct gp_account *
take_account (struct gp_thread *thread, uint32_t label)
{
  uint32_t row = gp_row_take (GP_ACCOUNT_TABLE (g_segment), GP_ACCOUNT_WORDS);
  if (row == GP_NO_ROW) {
    gp_count (GP_COUNTER_ACCOUNTS_FULL);
    return NULL;
  }
  struct gp_account *account = &g_segment->accounts[row];
  account->thread = gp_thread_slot (thread);
  account->serial = g_segment->threads[account->thread].serial;
  gp_store (&account->ns, 0);
  gp_store (&account->closed_ns, 0);
  gp_store (&account->state, GP_SLOT_LIVE);
  gp_store_release (&account->label, label); /* publishes the row; pairs with the agent's acquire */
  return account;
}

static void *
map (size_t bytes)
{
  void *room = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return room != MAP_FAILED ? room : NULL;
}

static struct gp_tally *
take_tally (struct gp_meter *meter)
{
  struct gp_tally *tally = meter->free;
  if (tally != NULL) {
    meter->free = tally->next;
    return tally;
  }
  /* New tallies are taken from the first slab or from the one behind it: the others are full, but for what a sweep has
   * put in `free`. */
  struct gp_slab *slab = meter->slabs;
  if (slab->used == GP_SLAB_TALLIES && (slab = slab->next) != NULL && slab->used == GP_SLAB_TALLIES)
    slab = NULL;
  if (slab == NULL) {
    slab = map (sizeof *slab);
    if (slab == NULL)
      return NULL;
    slab->next = meter->slabs->next;
    __atomic_store_n (&meter->slabs->next, slab, __ATOMIC_RELEASE); /* pairs with the acquire in publish_once() */
  }
  tally = &slab->tallies[slab->used];
  gp_store_release (&slab->used, slab->used + 1);
  return tally;
}

static void
insert (struct gp_meter *meter, struct gp_tally *tally)
{
  uint32_t mask = UINT32_MAX >> meter->table_shift, at = gp_tally_place (meter, tally->label);
  while (meter->table[at] != NULL)
    at = (at + 1) & mask;
  meter->table[at] = tally;
}

static void
unmap_table (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  if (meter->table != thread->first_table)
    munmap (meter->table, sizeof meter->table[0] << (32 - meter->table_shift));
}

/* Builds the table anew, with place for twice as many tallies as there are. False: there is no memory for a larger
 * table; nothing has changed. */
static bool
rebuild_table (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  uint32_t log2 = GP_FIRST_TABLE_LOG2;
  while (meter->tallies > 1u << (log2 - 2))
    log2++;
  struct gp_tally **table = log2 == GP_FIRST_TABLE_LOG2 ? thread->first_table : NULL;
  if (table == NULL && log2 != 32 - meter->table_shift)
    table = map (sizeof *table << log2);
  if (table == NULL && log2 > 32 - meter->table_shift)
    return false;
  if (table == NULL) {
    table = meter->table;
    log2 = 32 - meter->table_shift;
  }
  if (table != meter->table)
    unmap_table (thread);
  memset (table, 0, sizeof *table << log2);
  meter->table = table;
  meter->table_shift = 32 - log2;
  for (struct gp_slab *slab = meter->slabs; slab != NULL; slab = slab->next)
    for (uint32_t i = 0; i < slab->used; i++)
      if (slab->tallies[i].label != 0)
        insert (meter, &slab->tallies[i]);
  return true;
}

static void
mark (struct gp_meter *meter, uint32_t label)
{
  struct gp_tally *tally = gp_tally_known (meter, label);
  if (tally != NULL)
    tally->marked = meter->sweeps;
}

static void
end_account (struct gp_account *account, bool own)
{
  if (account == NULL)
    return;
  /* A thread that vanished counts for its open stretch what was last published. */
  if (!own && account->closed_ns > account->ns)
    gp_store (&account->ns, account->closed_ns);
  gp_store_release (&account->state, GP_SLOT_ENDED);
}

static void
free_tally (struct gp_meter *meter, struct gp_tally *tally)
{
  uint32_t label = tally->label;
  end_account (tally->account, true);
  __atomic_store_n (&tally->account, NULL, __ATOMIC_RELEASE);
  tally->label = 0;
  gp_label_unref (label);
  meter->tallies--;
}

/* Unmaps empty slabs behind the first, and lists anew what is free in the others. */
static void
tidy_slabs (struct gp_meter *meter)
{
  meter->free = NULL;
  for (struct gp_slab **link = &meter->slabs, *slab; (slab = *link) != NULL;) {
    bool empty = slab != meter->slabs;
    for (uint32_t i = 0; i < slab->used && empty; i++)
      empty = slab->tallies[i].label == 0;
    if (empty) {
      *link = slab->next;
      munmap (slab, sizeof *slab);
      continue;
    }
    for (uint32_t i = 0; i < slab->used; i++)
      if (slab->tallies[i].label == 0) {
        slab->tallies[i].next = meter->free;
        meter->free = &slab->tallies[i];
      }
    link = &slab->next;
  }
}

/* Frees the tallies of elements that are gone, but for those that the thread may still count for: labels on its stack,
 * and tallies with an estimate. Requires: the registry lock, so that the poller reads none of them. */
static void
sweep (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  meter->sweeps++;
  mark (meter, thread->base);
  mark (meter, meter->current->label);
  for (uint32_t i = 0; i < thread->depth; i++)
    mark (meter, thread->entries[i].label);
  for (struct gp_slab *slab = meter->slabs; slab != NULL; slab = slab->next)
    for (uint32_t i = 0; i < slab->used; i++) {
      struct gp_tally *tally = &slab->tallies[i];
      if (tally->label != 0 && tally->marked != meter->sweeps && tally->estimate_cycles == 0
          && gp_load (&g_segment->labels[tally->label].gone) != 0)
        free_tally (meter, tally);
    }
  tidy_slabs (meter);
  rebuild_table (thread);
  meter->sweep_at = 2 * meter->tallies > FIRST_SWEEP ? 2 * meter->tallies : FIRST_SWEEP;
}

struct gp_tally *
gp_tally_make (struct gp_thread *thread, uint32_t label)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_meter *meter = &thread->meter;
  /* Only tried: where the poller has the lock, the next new tally comes with a sweep. */
  if (meter->tallies >= meter->sweep_at && pthread_mutex_trylock (&g_registry) == 0) {
    sweep (thread);
    gp_registry_unlock ();
  }
  bool has_place = 2 * (meter->tallies + 1) <= 1u << (32 - meter->table_shift) || rebuild_table (thread);
  struct gp_tally *tally = has_place ? take_tally (meter) : NULL;
  if (tally == NULL)
    return meter->current; /* out of memory: the time goes on counting for the current label */
  if (!gp_label_ref (label)) {
    tally->next = meter->free; /* the element has just been finalized: likewise */
    meter->free = tally;
    return meter->current;
  }
  tally->label = label;
  tally->skips_left = tally->skip_length = tally->probation = tally->marked = 0;
  insert (meter, tally);
  meter->tallies++;
  __atomic_store_n (&tally->account, take_account (thread, label), __ATOMIC_RELEASE); /* pairs with publish_once() */
  return tally;
}

void
gp_account_table_init (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  meter->slabs = thread->first_slab;
  meter->slabs->next = NULL;
  meter->slabs->used = 0;
  meter->table = thread->first_table;
  meter->table_shift = 32 - GP_FIRST_TABLE_LOG2;
  memset (meter->table, 0, GP_FIRST_TABLE * sizeof meter->table[0]);
  memset (meter->slabs->tallies, 0, sizeof meter->slabs->tallies);
  meter->sweep_at = FIRST_SWEEP;
}

void
gp_account_table_end (struct gp_thread *thread, bool own)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_meter *meter = &thread->meter;
  struct gp_slab *next;
  for (struct gp_slab *slab = meter->slabs; slab != NULL; slab = next) {
    for (uint32_t i = 0; i < slab->used; i++) {
      struct gp_tally *tally = &slab->tallies[i];
      if (tally->label == 0)
        continue;
      end_account (tally->account, own);
      gp_label_unref (tally->label);
    }
    next = slab->next;
    if (slab != thread->first_slab)
      munmap (slab, sizeof *slab);
  }
  unmap_table (thread);
  meter->slabs = NULL;
  meter->table = thread->first_table;
}
