/* SPDX-License-Identifier: MIT */
/* reader.c: drains the ring, reads accounts and threads. Mapping and control words: reader_control.c.
 *
 * The writer may die at any instruction, so that every index and length read from the segment is checked before use.
 *
 * Context: agent.
 */
#include "reader.h"

#include <string.h>
#include "reader_load.h"

enum
{
  HEADER_WORDS = sizeof (struct gp_record) / 8,
  MAX_WORDS = HEADER_WORDS + UINT16_MAX + 1 /* ring.h rounds up to four */
};

#define FILLER_THREAD UINT32_MAX

_Static_assert (sizeof (struct gp_record) % 8 == 0, "records are whole words");
_Static_assert ((GP_RING_WORDS & (GP_RING_WORDS - 1)) == 0, "the ring's size is a power of two");
_Static_assert (sizeof (struct gp_account_row) == 24, "native.py unpacks these");
_Static_assert (sizeof (struct gp_thread_row) == 32, "native.py unpacks these");

uint64_t
gp_reader_head (const struct gp_segment *segment)
{
  return load64 (&segment->head);
}

uint64_t
gp_reader_buffer_bytes (void)
{
  return (uint64_t) MAX_WORDS * 8;
}

/* Zeroed before the room is given back: a writer relies on reading EMPTY where nobody has written yet. */
static uint64_t
release (struct gp_segment *segment, uint64_t tail, uint64_t words)
{
  while (words > 0) {
    uint64_t at = tail % GP_RING_WORDS;
    uint64_t chunk = words < GP_RING_WORDS - at ? words : GP_RING_WORDS - at;
    memset (&segment->ring[at], 0, chunk * 8);
    tail += chunk;
    words -= chunk;
  }
  /* Pairs with the writers' acquire of tail when they look for room. */
  __atomic_store_n (&segment->tail, tail, __ATOMIC_RELEASE);
  return tail;
}

/* Length of what was reserved and never written: up to the next record's first word, which is not 0. */
static uint64_t
blank_words (const struct gp_segment *segment, uint64_t tail, uint64_t head)
{
  uint64_t words = 0;
  while (tail + words < head && segment->ring[(tail + words) % GP_RING_WORDS] == 0)
    words++;
  return words;
}

void
gp_reader_drain (struct gp_segment *segment, void *buf, uint64_t cap_bytes, int final, struct gp_drained *out)
{
  uint64_t tail = segment->tail; /* only this thread writes it */
  memset (out, 0, sizeof *out);
  for (;;) {
    uint64_t head = load64 (&segment->head);
    if (head == tail)
      return;
    uint64_t at = tail % GP_RING_WORDS;
    struct gp_record *record = (struct gp_record *) &segment->ring[at];
    uint32_t state = load32 (&record->state); /* pairs with the commit's release */
    uint64_t words = __atomic_load_n (&record->words, __ATOMIC_RELAXED);
    if (state != GP_RECORD_COMMITTED) {
      if (!final)
        return;
      if (state == GP_RECORD_EMPTY && words == 0) {
        out->unfinished++;
        tail = release (segment, tail, blank_words (segment, tail, head));
        continue;
      }
    }
    /* A filler at the very end may have no room for a whole header. */
    uint64_t most = GP_RING_WORDS - at < head - tail ? GP_RING_WORDS - at : head - tail;
    int filler = most < HEADER_WORDS || record->thread == FILLER_THREAD;
    if (words == 0 || words > most
        || (!filler && (words < HEADER_WORDS || words > MAX_WORDS || record->depth > words - HEADER_WORDS))) {
      out->corrupt_words += head - tail;
      release (segment, tail, head - tail);
      return;
    }
    if (state != GP_RECORD_COMMITTED) {
      out->unfinished++;
    } else if (!filler) {
      if (words * 8 > cap_bytes - out->bytes)
        return;
      memcpy ((char *) buf + out->bytes, record, words * 8);
      out->bytes += words * 8;
      out->records++;
    }
    tail = release (segment, tail, words);
  }
}

uint32_t
gp_reader_threads (const struct gp_segment *segment, int ended_only, struct gp_thread_row *rows, uint32_t cap)
{
  uint32_t used = bounded (load32 (&segment->threads_used), GP_THREADS);
  uint32_t count = 0;
  for (uint32_t slot = 0; slot < used; slot++) {
    const struct gp_thread_slot *thread = &segment->threads[slot];
    uint32_t state = load32 (&thread->state);
    if (state == GP_SLOT_FREE || (ended_only && state != GP_SLOT_ENDED))
      continue;
    if (count < cap) {
      struct gp_thread_row *row = &rows[count];
      row->slot = slot;
      row->state = state;
      row->serial = thread->serial;
      row->tid = thread->tid;
      memcpy (row->comm, thread->comm, sizeof row->comm);
      row->comm[sizeof row->comm - 1] = 0;
    }
    count++;
  }
  return count;
}

/* Of a thread that is alive, ns runs ahead of the last close, or closed_ns holds a stretch that ns does not yet. */
static uint64_t
account_total (const struct gp_account *account)
{
  uint64_t ns = load64 (&account->ns);
  uint64_t closed_ns = load64 (&account->closed_ns);
  return load32 (&account->state) != GP_SLOT_ENDED && closed_ns > ns ? closed_ns : ns;
}

uint32_t
gp_reader_accounts (const struct gp_segment *segment, int ended_only, struct gp_account_row *rows, uint32_t cap)
{
  uint32_t used = bounded (load32 (&segment->accounts_used), GP_ACCOUNTS);
  uint32_t count = 0;
  for (uint32_t i = 0; i < used; i++) {
    const struct gp_account *account = &segment->accounts[i];
    uint32_t state = load32 (&account->state);
    uint32_t label = load32 (&account->label); /* 0 until the row is filled */
    if (state == GP_SLOT_FREE || label == 0)
      continue;
    uint32_t thread = account->thread; /* only now: it is written before the label */
    if (thread >= GP_THREADS)
      continue;
    if (ended_only && load32 (&segment->threads[thread].state) != GP_SLOT_ENDED)
      continue;
    if (count < cap) {
      struct gp_account_row *row = &rows[count];
      row->state = state;
      row->label = label;
      row->thread = thread;
      row->serial = account->serial;
      row->total_ns = account_total (account);
    }
    count++;
  }
  return count;
}

uint32_t
gp_reader_overflows (const struct gp_segment *segment, struct gp_overflow_row *rows, uint32_t cap)
{
  uint32_t used = bounded (load32 (&segment->label_count), GP_LABELS);
  uint32_t count = 0;
  for (uint32_t label = 0; label < used; label++) {
    uint64_t ns = load64 (&segment->labels[label].overflow_ns);
    if (ns == 0)
      continue;
    if (count < cap) {
      rows[count].label = label;
      rows[count].total_ns = ns;
    }
    count++;
  }
  return count;
}

void
gp_reader_free (struct gp_segment *segment, const uint32_t *slots, uint32_t count)
{
  unsigned char chosen[GP_THREADS / 8] = { 0 };
  for (uint32_t i = 0; i < count; i++)
    if (slots[i] < GP_THREADS)
      chosen[slots[i] / 8] |= (unsigned char) (1U << slots[i] % 8);
  uint32_t used = bounded (load32 (&segment->accounts_used), GP_ACCOUNTS);
  for (uint32_t i = 0; i < used; i++) {
    struct gp_account *account = &segment->accounts[i];
    if (load32 (&account->state) == GP_SLOT_FREE || load32 (&account->label) == 0 || account->thread >= GP_THREADS)
      continue;
    if (chosen[account->thread / 8] & 1U << account->thread % 8) {
      __atomic_store_n (&account->label, 0, __ATOMIC_RELAXED); /* before the next user can see the row */
      __atomic_store_n (&account->state, GP_SLOT_FREE, __ATOMIC_RELEASE);
    }
  }
  /* After their accounts: the next user of a slot must not meet the old ones. */
  for (uint32_t i = 0; i < count; i++)
    if (slots[i] < GP_THREADS)
      __atomic_store_n (&segment->threads[slots[i]].state, GP_SLOT_FREE, __ATOMIC_RELEASE);
}
