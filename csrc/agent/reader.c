/* SPDX-License-Identifier: MIT */
/* reader.c: drains the ring and reads threads. Accounts and labels: reader_rows.c. Mapping and control words:
 * reader_control.c.
 *
 * The host may die at any instruction, or overwrite the segment by mistake. So every index, length and count that is
 * read from it is checked before use.
 *
 * Context: agent.
 */
#include "agent/reader.h"

#include <string.h>
#include <sys/mman.h>
#include "agent/reader_internal.h"
#include "shared/row_table.h"

enum
{
  HEADER_WORDS = sizeof (struct gp_record) / 8,
  MAX_WORDS = HEADER_WORDS + UINT16_MAX + 1, /* ring.h rounds up to four */
  FREED_WORDS = 32768,                       /* 256 KiB: a system call for a thousand records */
#if defined(__x86_64__)
  PAGE_BYTES = 4096
#else
  PAGE_BYTES = 65536 /* the largest there is */
#endif
};

#define FILLER_THREAD UINT32_MAX

_Static_assert (sizeof (struct gp_record) % 8 == 0, "records are whole words");
_Static_assert ((GP_RING_WORDS & (GP_RING_WORDS - 1)) == 0, "the ring's size is a power of two");
_Static_assert (sizeof (struct gp_account_row) == 32, "native.py unpacks these");
_Static_assert (sizeof (struct gp_thread_row) == 32, "native.py unpacks these");

uint64_t
gp_reader_head (const struct gp_segment *segment)
{
  return gp_load_acquire (&segment->head);
}

uint64_t
gp_reader_buffer_bytes (void)
{
  return (uint64_t) MAX_WORDS * 8;
}

/* Adds serials to a copy's labels: rows are used again, and a copy may outlive the label that it names. */
static void
add_serials (const struct gp_segment *segment, struct gp_record *copy)
{
  copy->state = segment->labels[bounded (copy->label, GP_LABELS - 1)].serial;
  for (uint32_t i = 0; i < copy->depth; i++)
    if (copy->frames[i] >> 56 == (GP_TAGGED | GP_FRAME_LABEL)) {
      uint64_t label = bounded ((uint32_t) copy->frames[i], GP_LABELS - 1);
      copy->frames[i] |= (uint64_t) segment->labels[label].serial << GP_LABEL_BITS;
    }
}

/* Lets the writers use the room up to tail again, by blocks. Before that a block's memory goes back to the kernel: else
 * all of the ring would be resident before long. */
static void
free_room (struct gp_segment *segment, uint64_t tail)
{
  uint64_t from = segment->released; /* only this thread writes it */
  if (tail - from > GP_RING_WORDS)   /* damaged */
    from = tail;
  while (tail - from >= FREED_WORDS) {
    uint64_t at = from % GP_RING_WORDS, words = tail - from;
    words = words < GP_RING_WORDS - at ? words : GP_RING_WORDS - at;
    uintptr_t start = ((uintptr_t) &segment->ring[at] + PAGE_BYTES - 1) & ~(uintptr_t) (PAGE_BYTES - 1);
    uintptr_t end = (uintptr_t) &segment->ring[at + words] & ~(uintptr_t) (PAGE_BYTES - 1);
    if (start < end)
      madvise ((void *) start, end - start, MADV_REMOVE);
    from += words;
  }
  /* Pairs with the writers' acquire when they reserve. */
  __atomic_store_n (&segment->released, from, __ATOMIC_RELEASE);
}

/* Moves tail over words that were read, at most all of the ring. They are zeroed before writers may use them: a writer
 * relies on reading EMPTY where nothing was written yet. */
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
  __atomic_store_n (&segment->tail, tail, __ATOMIC_RELAXED);
  free_room (segment, tail);
  return tail;
}

/* Moves tail to head: no record can be made out between them. */
static void
discard (struct gp_segment *segment, uint64_t tail, uint64_t head, struct gp_drained *out)
{
  uint64_t words = head - tail < GP_RING_WORDS ? head - tail : GP_RING_WORDS;
  out->corrupt_words += words;
  release (segment, head - words, words);
}

/* Words that were reserved and never written: up to the next record's first word, which is not 0. */
static uint64_t
blank_words (const struct gp_segment *segment, uint64_t tail, uint64_t head)
{
  uint64_t words = 0;
  while (tail + words != head && segment->ring[(tail + words) % GP_RING_WORDS] == 0)
    words++;
  return words;
}

/* Copies a record of so many words. They, and the depth, were checked: a host that writes meanwhile changes neither. */
static void
copy_record (const struct gp_segment *segment, const struct gp_record *record, uint64_t words, struct gp_record *copy)
{
  memcpy (copy, record, words * 8);
  copy->words = (uint32_t) words;
  copy->depth = (uint16_t) bounded (copy->depth, (uint32_t) words - HEADER_WORDS);
  add_serials (segment, copy);
}

void
gp_reader_drain (struct gp_segment *segment, void *buf, uint64_t cap_bytes, int final, struct gp_drained *out)
{
  uint64_t tail = segment->tail; /* only this thread writes it */
  memset (out, 0, sizeof *out);
  for (;;) {
    uint64_t head = gp_load_acquire (&segment->head);
    if (head == tail)
      return;
    if (head - tail > GP_RING_WORDS) { /* one of them is damaged */
      discard (segment, tail, head, out);
      return;
    }
    uint64_t at = tail % GP_RING_WORDS;
    struct gp_record *record = (struct gp_record *) &segment->ring[at];
    uint32_t state = gp_load_acquire (&record->state); /* pairs with the commit's release */
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
      discard (segment, tail, head, out);
      return;
    }
    if (state != GP_RECORD_COMMITTED) {
      out->unfinished++;
    } else if (!filler) {
      if (words * 8 > cap_bytes - out->bytes)
        return;
      copy_record (segment, record, words, (struct gp_record *) ((char *) buf + out->bytes));
      out->bytes += words * 8;
      out->records++;
    }
    tail = release (segment, tail, words);
  }
}

uint32_t
gp_reader_threads (const struct gp_segment *segment, int ended_only, struct gp_thread_row *rows, uint32_t cap)
{
  uint32_t count = 0;
  for (uint32_t slot = gp_row_next (GP_THREAD_TABLE (segment), GP_THREAD_WORDS, 0); slot != GP_NO_ROW;
      slot = gp_row_next (GP_THREAD_TABLE (segment), GP_THREAD_WORDS, slot + 1)) {
    const struct gp_thread_slot *thread = &segment->threads[slot];
    uint32_t state = gp_load_acquire (&thread->state);
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

void
gp_reader_free_threads (struct gp_segment *segment, const uint32_t *slots, uint32_t count)
{
  for (uint32_t i = 0; i < count; i++) {
    if (slots[i] >= GP_THREADS || gp_load_acquire (&segment->threads[slots[i]].state) != GP_SLOT_ENDED)
      continue;
    __atomic_store_n (&segment->threads[slots[i]].state, GP_SLOT_FREE, __ATOMIC_RELEASE);
    gp_row_free (GP_THREAD_TABLE (segment), slots[i]);
  }
}
