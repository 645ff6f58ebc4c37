/* SPDX-License-Identifier: MIT */
/* fuzz_reader.c: all that the agent reads of a segment, from damaged segments.
 *
 * An input is a list of patches to a sound segment, so that almost every input gets past the first checks. A patch is
 * eight bytes: which part (one), how many bytes to write (one), where in the part (two), a value (four). Around the
 * segment and around each result lies memory that must not be touched.
 *
 * Built with libFuzzer: a read or write out of bounds is reported, and so is a call that does not end.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "agent/reader.h"
#include "shared/row_table.h"
#include "shim/signal/ring.h"

enum
{
  PATCH_BYTES = 8,
  PAGE = 4096,
  ROWS = 40,           /* in use in each table */
  CAP = 16,            /* rows that one call may return */
  RECORDS = 12,        /* in the ring, across its end */
  AT_THE_END = 20,     /* words before the ring's end where they begin */
  CALLS_MAX = 1 << 16, /* more calls than any table or ring has something for */
  SEGMENT_BYTES = (sizeof (struct gp_segment) + PAGE - 1) / PAGE * PAGE
};

struct gp_segment *g_segment;

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define PART(member) { offsetof (struct gp_segment, member), sizeof g_segment->member }
#define PART_OF_ROWS(member) { offsetof (struct gp_segment, member), ROWS * sizeof g_segment->member[0] }

static const struct
{
  size_t offset, bytes;
} g_parts[] = {
  { offsetof (struct gp_segment, close_mono_ns),
      offsetof (struct gp_segment, log) - offsetof (struct gp_segment, close_mono_ns) },
  PART (labels_taken),
  PART (threads_taken),
  PART (accounts_taken),
  PART (links_written),
  PART (links_read),
  PART (name_count),
  PART (head),
  PART (tail),
  PART (released),
  PART (log_written),
  PART (log_read),
  PART_OF_ROWS (labels),
  PART_OF_ROWS (threads),
  PART_OF_ROWS (accounts),
  PART_OF_ROWS (links),
  PART (label_bits),
  PART (thread_bits),
  PART (account_bits),
  { offsetof (struct gp_segment, ring), 16 * PAGE },
  { sizeof (struct gp_segment) - AT_THE_END * 8, AT_THE_END * 8 },
};

/* A segment as a host leaves it: rows alive and ended, CPU of no account, links, records that wrap. */
static void
make_segment (void)
{
  static uint8_t *memory;
  if (memory == NULL) {
    memory = mmap (NULL, SEGMENT_BYTES + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect (memory + PAGE, SEGMENT_BYTES, PROT_READ | PROT_WRITE) != 0)
      abort ();
    g_segment = (struct gp_segment *) (memory + PAGE + SEGMENT_BYTES - sizeof (struct gp_segment));
  }
  madvise (memory + PAGE, SEGMENT_BYTES, MADV_DONTNEED); /* zeros again */
  struct gp_segment *segment = g_segment;
  for (uint32_t i = 0; i < ROWS; i++) {
    uint32_t label = gp_row_take (GP_LABEL_TABLE (segment), GP_LABEL_WORDS);
    uint32_t thread = gp_row_take (GP_THREAD_TABLE (segment), GP_THREAD_WORDS);
    uint32_t account = gp_row_take (GP_ACCOUNT_TABLE (segment), GP_ACCOUNT_WORDS);
    segment->labels[label] = (struct gp_label) { .state = 1 + i % 2, .serial = i, .overflow_ns = i % 3 };
    segment->threads[thread] = (struct gp_thread_slot) { .state = 1 + i % 2, .serial = i };
    memset (segment->threads[thread].comm, 'x', sizeof segment->threads[thread].comm);
    segment->accounts[account] =
        (struct gp_account) { .state = 1 + i % 2, .label = i, .thread = thread, .ns = i, .closed_ns = 2 * i };
    segment->links[i] = (struct gp_pad_link) { .source = i, .sink = i + 1 };
  }
  segment->links_written = ROWS;
  segment->head = segment->tail = segment->released = GP_RING_WORDS - AT_THE_END;
  for (uint32_t i = 0; i < RECORDS; i++) {
    struct gp_record *record = gp_ring_reserve (i);
    record->label = i;
    record->depth = (uint16_t) i;
    for (uint32_t k = 0; k < i; k++)
      record->frames[k] = k % 3 == 0 ? (uint64_t) (GP_TAGGED | GP_FRAME_LABEL) << 56 | k : k;
    if (i % 5 != 4)
      gp_ring_commit (record);
  }
}

static void
patch (const uint8_t *bytes)
{
  size_t part = bytes[0] % (sizeof g_parts / sizeof g_parts[0]), width = (size_t) 1 << bytes[1] % 4;
  uint32_t value;
  memcpy (&value, bytes + 4, sizeof value);
  uint64_t wide = bytes[1] & 0x80 ? (uint64_t) value << 32 | value : (uint64_t) (int64_t) (int32_t) value;
  size_t where = ((size_t) bytes[2] | (size_t) bytes[3] << 8) * width % g_parts[part].bytes;
  where = where < g_parts[part].bytes - width ? where : g_parts[part].bytes - width;
  memcpy ((uint8_t *) g_segment + g_parts[part].offset + where, &wide, width);
}

/* Calls are counted: a loop that makes no progress must not pass for one that is slow. */
static void
count_call (uint32_t *calls)
{
  if (++*calls > CALLS_MAX)
    abort ();
}

static void
drain (int final)
{
  struct gp_drained drained;
  uint64_t bytes = gp_reader_buffer_bytes ();
  uint8_t *buffer = malloc (bytes);
  uint32_t calls = 0;
  do {
    gp_reader_drain (g_segment, buffer, bytes, final, &drained);
    uint64_t records = 0;
    for (uint64_t at = 0; at < drained.bytes; records++) {
      const struct gp_record *record = (const struct gp_record *) (buffer + at);
      if (record->words == 0 || record->words * 8 > drained.bytes - at
          || record->depth > record->words - GP_RECORD_HEADER_WORDS)
        abort ();
      at += record->words * 8;
    }
    if (records != drained.records)
      abort ();
    count_call (&calls);
  } while (drained.records + drained.unfinished + drained.corrupt_words != 0);
  if (final && g_segment->head != g_segment->tail)
    abort ();
  free (buffer);
}

static void
read_accounts (int ended_only)
{
  static uint64_t told[GP_ACCOUNTS];
  struct gp_account_row *rows = malloc (CAP * sizeof *rows);
  uint32_t from = 0, calls = 0;
  gp_reader_accounts (g_segment, rows, CAP);
  while (from != GP_NO_ROW) {
    uint32_t count = gp_reader_take_accounts (g_segment, told, ended_only, &from, rows, CAP);
    for (uint32_t i = 0; i < count; i++)
      if (rows[i].label >= GP_LABELS || rows[i].thread >= GP_THREADS)
        abort ();
    count_call (&calls);
  }
  free (rows);
}

static void
read_threads (void)
{
  struct gp_thread_row *rows = malloc (CAP * sizeof *rows);
  uint32_t slots[CAP] = { 0, GP_THREADS - 1, GP_THREADS, UINT32_MAX };
  uint32_t count = gp_reader_threads (g_segment, 1, rows, CAP);
  for (uint32_t i = 0; i < count && i < CAP; i++) {
    slots[i] = rows[i].slot;
    if (memchr (rows[i].comm, 0, sizeof rows[i].comm) == NULL)
      abort ();
  }
  gp_reader_threads (g_segment, 0, rows, CAP);
  gp_reader_free_threads (g_segment, slots, CAP);
  free (rows);
}

static void
read_labels (void)
{
  struct gp_label_row *rows = malloc (CAP * sizeof *rows);
  uint32_t *labels = malloc (CAP * sizeof *labels), from = 0, calls = 0;
  while (gp_reader_take_overflows (g_segment, rows, CAP) > 0)
    count_call (&calls);
  while (from != GP_NO_ROW) {
    uint32_t count = gp_reader_ended_labels (g_segment, &from, labels, CAP);
    for (uint32_t i = 0; i < count; i++) {
      if (labels[i] >= GP_LABELS)
        abort ();
      uint64_t key = (uint64_t) g_segment->labels[labels[i]].serial << GP_LABEL_BITS | labels[i];
      gp_reader_free_labels (g_segment, &key, 1);
    }
    count_call (&calls);
  }
  free (labels);
  free (rows);
}

static void
read_links (void)
{
  struct gp_link_row *rows = malloc (CAP * sizeof *rows);
  uint32_t calls = 0, count;
  while ((count = gp_reader_take_links (g_segment, rows, CAP)) > 0) {
    for (uint32_t i = 0; i < count; i++)
      if (rows[i].source >= GP_LABELS || rows[i].sink >= GP_LABELS)
        abort ();
    count_call (&calls);
  }
  free (rows);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  make_segment ();
  for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES)
    patch (data);
  if (gp_reader_names (g_segment) > GP_NAMES)
    abort ();
  gp_reader_log (g_segment, 3, "one line\nof text");
  drain (0);
  read_links ();
  read_accounts (1);
  read_accounts (0);
  read_threads ();
  read_labels ();
  drain (1);
  gp_reader_log (g_segment, UINT32_MAX, "another");
  return 0;
}
