/* SPDX-License-Identifier: MIT */
/* reader.c: drains the ring, reads accounts and threads, and talks to the shim through the segment's control words.
 *
 * The writer may die at any instruction, so that every index and length read from the segment is checked before use.
 *
 * Context: agent.
 */
#define _GNU_SOURCE
#include "reader.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum
{
  HEADER_WORDS = sizeof (struct gp_record) / 8,
  MAX_WORDS = HEADER_WORDS + UINT16_MAX + 1, /* ring.h rounds up to four */
  CLOSE_POLL_MS = 2
};

#define FILLER_THREAD UINT32_MAX

_Static_assert (sizeof (struct gp_record) % 8 == 0, "records are whole words");
_Static_assert ((GP_RING_WORDS & (GP_RING_WORDS - 1)) == 0, "the ring's size is a power of two");
_Static_assert (sizeof (struct gp_account_row) == 24, "segment.py unpacks these");
_Static_assert (sizeof (struct gp_thread_row) == 32, "segment.py unpacks these");

static inline uint32_t
load32 (const uint32_t *word)
{
  return __atomic_load_n (word, __ATOMIC_ACQUIRE); /* pairs with the shim's releases */
}

static inline uint64_t
load64 (const uint64_t *word)
{
  return __atomic_load_n (word, __ATOMIC_ACQUIRE);
}

static inline uint32_t
bounded (uint32_t value, uint32_t limit)
{
  return value < limit ? value : limit;
}

static long
futex (const uint32_t *word, int operation, uint32_t value, const struct timespec *timeout)
{
  /* Not FUTEX_PRIVATE: the host may be another process. */
  return syscall (SYS_futex, word, operation, value, timeout, NULL, 0);
}

static void
futex_wait (const uint32_t *word, uint32_t seen, uint32_t timeout_ms)
{
  struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
  futex (word, FUTEX_WAIT, seen, &timeout);
}

/* Why this memory is no segment that we can read; NULL: it is one. */
static const char *
check (const struct gp_segment *segment, uint64_t bytes)
{
  if (bytes < offsetof (struct gp_segment, host_pid))
    return "it is smaller than a segment's head";
  if (memcmp (&segment->magic, "gstpyro", 8) != 0)
    return "it does not begin as a segment does";
  if (segment->abi_version != GP_ABI_VERSION)
    return "shim and agent are of different versions";
  if (segment->bytes != sizeof *segment || bytes < sizeof *segment)
    return "its size is not that of this version's segment";
  return NULL;
}

struct gp_segment *
gp_reader_map (int fd, const char **error)
{
  struct stat status;
  if (fstat (fd, &status) != 0) {
    *error = "its descriptor is not open";
    return NULL;
  }
  if ((uint64_t) status.st_size < sizeof (struct gp_segment)) {
    *error = "it is smaller than this version's segment";
    return NULL;
  }
  struct gp_segment *segment = mmap (NULL, sizeof *segment, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (segment == MAP_FAILED) {
    *error = "it cannot be mapped";
    return NULL;
  }
  *error = check (segment, (uint64_t) status.st_size);
  if (*error != NULL) {
    gp_reader_unmap (segment);
    return NULL;
  }
  return segment;
}

void
gp_reader_unmap (struct gp_segment *segment)
{
  munmap (segment, sizeof *segment);
}

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
    uint32_t thread = account->thread;
    if (state == GP_SLOT_FREE || label == 0 || thread >= GP_THREADS)
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

uint32_t
gp_reader_wait (const struct gp_segment *segment, uint32_t seen, uint32_t timeout_ms)
{
  if (load32 (&segment->wake) == seen && timeout_ms > 0)
    futex_wait (&segment->wake, seen, timeout_ms);
  return load32 (&segment->wake);
}

int
gp_reader_request_close (struct gp_segment *segment, uint32_t timeout_ms)
{
  uint32_t wanted = __atomic_add_fetch (&segment->close_wanted, 1, __ATOMIC_RELEASE);
  __atomic_add_fetch (&segment->poll, 1, __ATOMIC_RELEASE);
  futex (&segment->poll, FUTEX_WAKE, INT32_MAX, NULL);
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  int64_t end_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000 + timeout_ms;
  for (;;) {
    /* Pairs with the shim's release once the closed accounts are written. Compared as a difference: counts wrap. */
    uint32_t done = load32 (&segment->close_done);
    if ((int32_t) (done - wanted) >= 0)
      return 1;
    clock_gettime (CLOCK_MONOTONIC, &now);
    if (now.tv_sec * 1000 + now.tv_nsec / 1000000 >= end_ms)
      return 0;
    futex_wait (&segment->close_done, done, CLOSE_POLL_MS);
  }
}

uint32_t
gp_reader_names (const struct gp_segment *segment)
{
  return bounded (load32 (&segment->name_count), GP_NAMES);
}

uint32_t
gp_reader_host_state (const struct gp_segment *segment)
{
  return load32 (&segment->host_state);
}

void
gp_reader_set_agent_state (struct gp_segment *segment, uint32_t state)
{
  __atomic_store_n (&segment->agent_state, state, __ATOMIC_RELEASE);
  futex (&segment->agent_state, FUTEX_WAKE, INT32_MAX, NULL);
}

void
gp_reader_offer_python (struct gp_segment *segment, const char *config, uint32_t bytes)
{
  memcpy (segment->python_config, config, bounded (bytes, GP_PYTHON - 1));
  __atomic_store_n (&segment->python_offered, 1, __ATOMIC_RELEASE);
  futex (&segment->python_offered, FUTEX_WAKE, INT32_MAX, NULL);
}

void
gp_reader_log (struct gp_segment *segment, uint32_t level, const char *text)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  size_t length = strlen (text);
  pthread_mutex_lock (&lock);
  uint32_t written = segment->log_written; /* only written here, under the lock */
  uint32_t room = GP_LOG - (written - load32 (&segment->log_read));
  if (room <= GP_LOG && length + 2 <= room) {
    segment->log[written++ % GP_LOG] = (char) ('0' + level % 10);
    for (size_t i = 0; i < length; i++)
      segment->log[written++ % GP_LOG] = (unsigned char) text[i] < ' ' ? ' ' : text[i];
    segment->log[written++ % GP_LOG] = '\n';
    __atomic_store_n (&segment->log_written, written, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock (&lock);
}
