/* SPDX-License-Identifier: MIT */
/* reader_control.c: maps the segment, reads and writes its control words.
 *
 * Context: agent.
 */
#define _GNU_SOURCE
#include "agent/reader.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "shared/futex.h"
#include "shared/raw_syscall.h"
#include "agent/reader_internal.h"

enum
{
  CLOSE_POLL_MS = 2
};

/* The reason why we cannot read this memory as a segment; NULL: we can. */
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

uint32_t
gp_reader_wait (const struct gp_segment *segment, uint32_t seen, uint32_t timeout_ms)
{
  if (gp_load_acquire (&segment->wake) == seen && timeout_ms > 0)
    gp_futex_wait (&segment->wake, seen, timeout_ms);
  return gp_load_acquire (&segment->wake);
}

void
gp_reader_wake (struct gp_segment *segment)
{
  gp_futex_signal (&segment->wake);
}

static uint64_t
clock_ns (clockid_t clock)
{
  struct timespec now = { 0 };
  gp_syscall (SYS_clock_gettime, clock, &now);
  return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

uint64_t
gp_reader_mono_ns (void)
{
  return clock_ns (CLOCK_MONOTONIC);
}

uint64_t
gp_reader_real_ns (void)
{
  return clock_ns (CLOCK_REALTIME);
}

int
gp_reader_request_close (struct gp_segment *segment, uint32_t timeout_ms)
{
  uint32_t wanted = __atomic_add_fetch (&segment->close_wanted, 1, __ATOMIC_RELEASE);
  gp_futex_signal (&segment->poll);
  uint64_t end_ns = gp_reader_mono_ns () + timeout_ms * UINT64_C (1000000);
  for (;;) {
    /* Pairs with the shim's release after it has written the closed accounts. Compared as a difference: counts wrap. */
    uint32_t done = gp_load_acquire (&segment->close_done);
    if ((int32_t) (done - wanted) >= 0)
      return 1;
    if (gp_reader_mono_ns () >= end_ns)
      return 0;
    gp_futex_wait (&segment->close_done, done, CLOSE_POLL_MS);
  }
}

uint32_t
gp_reader_names (const struct gp_segment *segment)
{
  return bounded (gp_load_acquire (&segment->name_count), GP_NAMES);
}

uint32_t
gp_reader_host_state (const struct gp_segment *segment)
{
  return gp_load_acquire (&segment->host_state);
}

void
gp_reader_set_agent_state (struct gp_segment *segment, uint32_t state)
{
  __atomic_store_n (&segment->agent_state, state, __ATOMIC_RELEASE);
  gp_futex_wake (&segment->agent_state);
}

void
gp_reader_offer_python (struct gp_segment *segment, const char *config, uint32_t bytes)
{
  memcpy (segment->python_config, config, bounded (bytes, GP_PYTHON - 1));
  __atomic_store_n (&segment->python_offered, 1, __ATOMIC_RELEASE);
  gp_futex_wake (&segment->python_offered);
}

void
gp_reader_log (struct gp_segment *segment, uint32_t level, const char *text)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  size_t length = strlen (text);
  pthread_mutex_lock (&lock);
  uint32_t written = segment->log_written; /* only written here, under the lock */
  uint32_t room = GP_LOG - (written - gp_load_acquire (&segment->log_read));
  if (room <= GP_LOG && length + 2 <= room) {
    segment->log[written++ % GP_LOG] = (char) ('0' + level % 10);
    for (size_t i = 0; i < length; i++)
      segment->log[written++ % GP_LOG] = (unsigned char) text[i] < ' ' ? ' ' : text[i];
    segment->log[written++ % GP_LOG] = '\n';
    __atomic_store_n (&segment->log_written, written, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock (&lock);
}
