/* SPDX-License-Identifier: MIT */
/* ring.c: the ring between the handlers and csrc/agent/reader.c.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"

enum
{
  HEADER = GP_RECORD_HEADER_WORDS
};

static void
start (void)
{
  int fd;
  if (gp_segment_create (&fd) != 0)
    abort ();
  close (fd);
}

/* Starts with an empty ring whose next word is at this place. */
static void
start_at (uint64_t words)
{
  start ();
  g_segment->head = g_segment->tail = g_segment->released = words;
}

/* Each word of a record is a function of its writer and its number. */
static uint64_t
word_of (uint32_t writer, uint32_t number, uint32_t i)
{
  return ((uint64_t) writer << 56 | (uint64_t) number << 24) + i + 1;
}

static bool
put (uint32_t writer, uint32_t number, uint32_t depth)
{
  struct gp_record *record = gp_ring_reserve (depth);
  if (record == NULL)
    return false;
  record->thread = writer;
  record->serial = number;
  record->label = record->weight = record->generation = 1;
  record->stack_end = GP_STACK_CFI;
  record->depth = (uint16_t) depth;
  for (uint32_t i = 0; i < depth; i++)
    record->frames[i] = word_of (writer, number, i);
  gp_ring_commit (record);
  return true;
}

static uint32_t g_next[8]; /* number expected of each writer */
static uint64_t g_bad;

static void
check_record (const struct gp_record *record)
{
  if (record->thread >= 8 || record->serial < g_next[record->thread]) {
    g_bad++;
    return;
  }
  g_next[record->thread] = record->serial + 1;
  for (uint32_t i = 0; i < record->depth; i++)
    g_bad += record->frames[i] != word_of (record->thread, record->serial, i);
}

TEST (records_come_out_as_they_went_in)
{
  start ();
  for (uint32_t i = 0; i < 100; i++)
    CHECK (put (0, i, i));
  CHECK_EQUAL (drain (false, check_record), 100);
  CHECK_EQUAL (g_bad, 0);
  CHECK_EQUAL (g_segment->head, g_segment->tail);
}

TEST (a_filler_covers_the_end)
{
  for (uint32_t left = 4; left < 64; left += 4) {
    start_at (5 * (uint64_t) GP_RING_WORDS - left);
    g_next[0] = 0;
    CHECK (put (0, 0, 60)); /* 64 words: more than is left */
    CHECK (put (0, 1, 3));
    CHECK_EQUAL (g_segment->head, 5 * (uint64_t) GP_RING_WORDS + 64 + 8);
    CHECK_EQUAL (drain (false, check_record), 2);
    CHECK_EQUAL (g_bad, 0);
  }
}

TEST (a_record_that_ends_at_the_end_needs_no_filler)
{
  start_at (GP_RING_WORDS - 64);
  CHECK (put (0, 0, 60));
  CHECK_EQUAL (g_segment->head, GP_RING_WORDS);
  CHECK_EQUAL (drain (false, check_record), 1);
}

TEST (a_full_ring_refuses_and_keeps_what_it_has)
{
  start_at (1000);
  uint32_t put_in = 0;
  while (put (0, put_in, 100))
    put_in++;
  CHECK_WITHIN (put_in, GP_RING_WORDS / 104 - 1, GP_RING_WORDS / 104);
  CHECK (!put (0, put_in, 100));
  CHECK_EQUAL (drain (false, check_record), put_in);
  CHECK_EQUAL (g_bad, 0);
  CHECK (put (0, put_in, 100));
}

/* All words but the drained ones are zero: what is reserved and never written must read as empty. */
TEST (what_was_read_is_zero_again)
{
  start_at (GP_RING_WORDS - 32);
  for (uint32_t i = 0; i < 50; i++)
    CHECK (put (0, i, 40));
  drain (false, check_record);
  uint64_t left = 0;
  for (uint32_t i = 0; i < GP_RING_WORDS; i++)
    left += g_segment->ring[i] != 0;
  CHECK_EQUAL (left, 0);
}

static void
die_after_reserve (uint32_t depth)
{
  CHECK (gp_ring_reserve (depth) != NULL);
}

/* head was moved, nothing written yet. */
static void
die_in_reserve (uint32_t words)
{
  g_segment->head += words;
}

/* words was written, state not yet. */
static void
die_before_busy (uint32_t depth)
{
  struct gp_record *record = gp_ring_reserve (depth);
  CHECK (record != NULL);
  record->state = GP_RECORD_EMPTY;
}

static uint64_t
unfinished_in_final_drain (void)
{
  static char buffer[(sizeof (struct gp_record) + UINT16_MAX * 8)];
  struct gp_drained drained;
  gp_reader_drain (g_segment, buffer, sizeof buffer, true, &drained);
  CHECK_EQUAL (drained.records, 1);
  CHECK_EQUAL (drained.corrupt_words, 0);
  CHECK_EQUAL (g_segment->head, g_segment->tail);
  return drained.unfinished;
}

TEST (a_writer_that_died_before_the_commit_is_waited_for_and_skipped_at_the_end)
{
  void (*const deaths[]) (uint32_t) = { die_after_reserve, die_in_reserve, die_before_busy };
  for (int i = 0; i < 3; i++) {
    start_at (GP_RING_WORDS - 16);
    g_next[0] = 0;
    CHECK (put (0, 0, 4));
    deaths[i](4);
    CHECK (put (0, 1, 4));
    CHECK_EQUAL (drain (false, check_record), 1);
    CHECK_EQUAL (unfinished_in_final_drain (), 1);
  }
}

enum
{
  WRITERS = 4,
  RECORDS = SANITIZED ? 10000 : 60000
};

static _Atomic uint32_t g_running;
static _Atomic uint64_t g_refused;

static void *
write_many (void *data)
{
  uint32_t writer = (uint32_t) (uintptr_t) data, random = writer + 1;
  for (uint32_t i = 0; i < RECORDS; i++) {
    random = random * 1664525 + 1013904223;
    while (!put (writer, i, random >> 24 == 0 ? 8000 : random >> 25)) {
      g_refused++;
      sched_yield ();
    }
  }
  g_running--;
  return NULL;
}

TEST (many_writers_and_one_reader_lose_nothing)
{
  start ();
  pthread_t ids[WRITERS];
  g_running = WRITERS;
  for (uintptr_t i = 0; i < WRITERS; i++)
    pthread_create (&ids[i], NULL, write_many, (void *) i);
  uint64_t records = 0;
  while (g_running > 0)
    records += drain (false, check_record);
  for (int i = 0; i < WRITERS; i++)
    pthread_join (ids[i], NULL);
  records += drain (false, check_record);
  printf ("%llu records read, %llu refused, %llu times round\n", (unsigned long long) records,
      (unsigned long long) g_refused, (unsigned long long) (g_segment->head / GP_RING_WORDS));
  CHECK_EQUAL (records, WRITERS * RECORDS);
  CHECK_EQUAL (g_bad, 0);
  CHECK_EQUAL (g_segment->head, g_segment->tail);
}
