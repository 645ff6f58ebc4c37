/* SPDX-License-Identifier: MIT */
/* account_rows.c: a tally for each label of a thread, and a row of the segment for each tally.
 *
 * Context: hook, the first time a thread meets a label; lifecycle.
 */
#define _GNU_SOURCE
#include "account_rows.h"

#include <string.h>
#include <sys/mman.h>

static uint32_t g_free_hint; /* where to look for a free row next; races are harmless */

/* Takes a free row; its label is 0, which readers pass over, until the row is filled. */
static struct gp_account *
claim_account (struct gp_thread *thread, uint32_t label, uint32_t index)
{
  struct gp_account *account = &g_segment->accounts[index];
  uint32_t expected = GP_SLOT_FREE;
  if (gp_load (&account->state) != GP_SLOT_FREE /* cheaper, where the table is full */
      || !__atomic_compare_exchange_n (
          &account->state, &expected, GP_SLOT_LIVE, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return NULL;
  account->thread = gp_thread_slot (thread);
  account->serial = g_segment->threads[account->thread].serial;
  gp_store (&account->ns, 0);
  gp_store (&account->closed_ns, 0);
  gp_store_release (&account->label, label); /* publishes the row; pairs with the agent's acquire */
  return account;
}

/* A row, or NULL. Rows come back from the agent, those of one thread side by side: look near the last one found first,
 * everywhere only when the table is full. */
static struct gp_account *
take_account (struct gp_thread *thread, uint32_t label)
{
  struct gp_account *account = NULL;
  uint32_t used = gp_load (&g_segment->accounts_used);
  uint32_t start = gp_load (&g_free_hint);
  uint32_t tries = used < GP_ACCOUNTS ? (used < 64 ? used : 64) : GP_ACCOUNTS;
  for (uint32_t i = 0; i < tries && account == NULL; i++) {
    account = claim_account (thread, label, (start + i) % used);
    gp_store (&g_free_hint, (start + i + 1) % used);
  }
  while (account == NULL && used < GP_ACCOUNTS)
    if (__atomic_compare_exchange_n (
            &g_segment->accounts_used, &used, used + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      account = claim_account (thread, label, used++);
  if (account == NULL)
    gp_count (GP_COUNTER_ACCOUNTS_FULL);
  return account;
}

static struct gp_tally *
take_tally (struct gp_thread *thread)
{
  struct gp_slab *slab = thread->slabs;
  while (slab->used == GP_SLAB_TALLIES && slab->next != NULL)
    slab = slab->next;
  if (slab->used == GP_SLAB_TALLIES) {
    void *larger = mmap (NULL, sizeof *slab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (larger == MAP_FAILED)
      return NULL;
    slab = slab->next = larger;
  }
  struct gp_tally *tally = &slab->tallies[slab->used++];
  memset (tally, 0, sizeof *tally);
  return tally;
}

struct gp_tally *
gp_tally_make (struct gp_thread *thread, uint32_t label)
{
  struct gp_tally **bucket = &thread->meter.buckets[label % GP_TALLY_BUCKETS];
  struct gp_tally *tally = take_tally (thread);
  if (tally == NULL)
    return thread->meter.current; /* out of memory: the time stays where it is */
  tally->label = label;
  tally->account = take_account (thread, label);
  tally->next = *bucket;
  __atomic_store_n (bucket, tally, __ATOMIC_RELEASE); /* pairs with the acquire in look_at() */
  return tally;
}
