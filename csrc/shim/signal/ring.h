/* SPDX-License-Identifier: MIT */
/* ring.h: the ring into which handlers write records. Layout: abi.h.
 *
 * Many writers (handlers on any thread), one reader (the agent). head moves by compare-and-swap, so a writer owns what
 * it reserved. The record's own state word makes it readable. The reader zeroes what it has read before it moves tail,
 * so a record that is reserved and not yet written reads as EMPTY. A full ring refuses: the sample is counted as
 * dropped, and nothing is overwritten.
 *
 * Context: signal. MT-Safe | AS-Safe
 */
#ifndef GP_RING_H
#define GP_RING_H

#include "shim/base/segment.h"

enum
{
  GP_RECORD_HEADER_WORDS = sizeof (struct gp_record) / 8,
  GP_RECORD_ALIGN_WORDS = 4 /* so that a filler always holds a header */
};
_Static_assert (GP_RECORD_HEADER_WORDS == GP_RECORD_ALIGN_WORDS, "a filler is a whole header");
_Static_assert (GP_RING_WORDS % GP_RECORD_ALIGN_WORDS == 0, "records fill the ring evenly");

/* Reserves a record of depth frames; its words and state are filled in. NULL: the ring is full. */
static inline struct gp_record *
gp_ring_reserve (uint32_t depth)
{
  struct gp_segment *segment = g_segment;
  uint32_t words = (GP_RECORD_HEADER_WORDS + depth + GP_RECORD_ALIGN_WORDS - 1) & ~(GP_RECORD_ALIGN_WORDS - 1u);
  uint64_t head = gp_load (&segment->head);
  uint32_t at, filler;
  do {
    at = (uint32_t) (head % GP_RING_WORDS);
    filler = at + words > GP_RING_WORDS ? GP_RING_WORDS - at : 0;
    /* Acquire: what the reader zeroed is zero before we write; pairs with its release. */
    if (head + filler + words - gp_load_acquire (&segment->released) > GP_RING_WORDS)
      return NULL;
  } while (!__atomic_compare_exchange_n (
      &segment->head, &head, head + filler + words, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  struct gp_record *record = (struct gp_record *) &segment->ring[at];
  if (filler != 0) {
    gp_store (&record->words, filler);
    record->thread = UINT32_MAX;
    gp_store_release (&record->state, GP_RECORD_COMMITTED); /* pairs with the acquire in gp_reader_drain() */
    record = (struct gp_record *) &segment->ring[0];
  }
  gp_store (&record->words, words);                  /* relaxed: the reader relies on state */
  gp_store_release (&record->state, GP_RECORD_BUSY); /* if we die before the commit, a reader can skip the record */
  return record;
}

static inline void
gp_ring_commit (struct gp_record *record)
{
  gp_store_release (&record->state, GP_RECORD_COMMITTED); /* publishes the record; pairs with gp_reader_drain() */
}

#endif
