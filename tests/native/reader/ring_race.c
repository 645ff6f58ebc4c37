/* SPDX-License-Identifier: MIT */
/* ring_race.c: many writers by csrc/shim/signal/ring.h against the one reader of csrc/agent/reader.c, for
 * ThreadSanitizer.
 *
 * Each writer numbers its records and fills them with the number. It waits while the ring is full, so no record may be
 * missing at the end. Exit status 0: every record came whole, once and in its writer's order.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "agent/reader.h"
#include "shim/signal/ring.h"

enum
{
  WRITERS = 4,
  RECORDS = 20000
};

struct gp_segment *g_segment;

static void *
write_records (void *argument)
{
  uint32_t writer = (uint32_t) (uintptr_t) argument;
  for (uint32_t number = 1; number <= RECORDS; number++) {
    uint32_t depth = (number * 7 + writer) % 200;
    struct gp_record *record;
    while ((record = gp_ring_reserve (depth)) == NULL)
      sched_yield ();
    record->thread = writer;
    record->serial = number;
    record->weight = 1;
    record->depth = (uint16_t) depth;
    for (uint32_t i = 0; i < depth; i++)
      record->frames[i] = number;
    gp_ring_commit (record);
  }
  return NULL;
}

static int
check (const struct gp_record *record, uint32_t last[WRITERS])
{
  if (record->thread >= WRITERS || record->serial != last[record->thread] + 1)
    return 0;
  last[record->thread] = record->serial;
  for (uint32_t i = 0; i < record->depth; i++)
    if (record->frames[i] != record->serial)
      return 0;
  return record->depth == (record->serial * 7 + record->thread) % 200;
}

int
main (void)
{
  pthread_t threads[WRITERS];
  uint32_t last[WRITERS] = { 0 };
  uint32_t seen = 0;
  uint64_t bytes = gp_reader_buffer_bytes ();
  char *buffer = malloc (bytes);
  g_segment = mmap (NULL, sizeof *g_segment, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (g_segment == MAP_FAILED || buffer == NULL)
    return 1;
  for (uintptr_t i = 0; i < WRITERS; i++)
    pthread_create (&threads[i], NULL, write_records, (void *) i);
  while (seen < WRITERS * RECORDS) {
    struct gp_drained drained;
    gp_reader_drain (g_segment, buffer, bytes, 0, &drained);
    if (drained.unfinished != 0 || drained.corrupt_words != 0)
      return 2;
    for (uint64_t at = 0; at < drained.bytes;) {
      const struct gp_record *record = (const struct gp_record *) (buffer + at);
      if (!check (record, last))
        return 3;
      at += record->words * 8;
      seen++;
    }
    if (drained.records == 0)
      sched_yield ();
  }
  for (int i = 0; i < WRITERS; i++)
    pthread_join (threads[i], NULL);
  free (buffer);
  printf ("%u records, %llu words\n", seen, (unsigned long long) g_segment->tail);
  return g_segment->tail == g_segment->head ? 0 : 4;
}
