/* SPDX-License-Identifier: MIT */
/* segment.c: makes the shared memory and its string heap; futexes on its words.
 *
 * Context: lifecycle, but for the AS-Safe functions that segment.h names.
 */
#define _GNU_SOURCE
#include "shim/base/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"

struct gp_segment *g_segment;
_Atomic bool g_poller_rests;

enum
{
  HIGH_FD = 200,
#if defined(__x86_64__)
  PAGE_BYTES = 4096
#else
  PAGE_BYTES = 65536 /* the largest there is */
#endif
};

/* g_active has a page of its own, which the kernel gives to a forked child filled with zeros, even where no handler of
 * pthread_atfork() runs (_Fork(), a raw clone()). The child still maps the segment, and would write to its parent's
 * rows. */
static _Alignas (PAGE_BYTES) char g_wiped_page[PAGE_BYTES];
extern _Atomic bool g_active __attribute__ ((alias ("g_wiped_page")));

enum
{
  SMALLEST_BLOCK = 32,
  SIZE_CLASSES = 12 /* up to 64 KiB */
};

static pthread_mutex_t g_strings_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t g_free_blocks[SIZE_CLASSES]; /* offset of the first of each size, 0: none; under the lock */

_Static_assert (sizeof (struct gp_segment) < UINT32_MAX, "bytes is 32 bits wide");
_Static_assert (offsetof (struct gp_segment, ring) % 8 == 0, "records are aligned");
_Static_assert (GP_COUNTERS <= 32, "counters[] is too small");

int
gp_fd_move_up (int low)
{
  int fd = (int) gp_syscall (SYS_fcntl, low, F_DUPFD_CLOEXEC, HIGH_FD);
  if (fd < 0) /* RLIMIT_NOFILE is low */
    fd = (int) gp_syscall (SYS_fcntl, low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (fd < 0)
    return low;
  gp_syscall (SYS_close, low);
  return fd;
}

int
gp_segment_create (int *fd)
{
  gp_clock_init ();
  /* Sparse: pages cost memory once touched. */
  int memory = (int) gp_syscall (SYS_memfd_create, "gst-pyro", MFD_CLOEXEC);
  if (memory < 0)
    return errno;
  memory = gp_fd_move_up (memory);
  struct gp_segment *segment = MAP_FAILED;
  if (gp_syscall (SYS_ftruncate, memory, sizeof (struct gp_segment)) == 0)
    segment = mmap (NULL, sizeof *segment, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (segment == MAP_FAILED) {
    int error = errno;
    gp_syscall (SYS_close, memory);
    return error;
  }
  /* Where the kernel does not support this, and under emulators, a handler of pthread_atfork() clears g_active. */
  madvise (g_wiped_page, sizeof g_wiped_page, MADV_WIPEONFORK);
  memcpy (&segment->magic, "gstpyro", 8);
  segment->abi_version = GP_ABI_VERSION;
  segment->bytes = sizeof *segment;
  segment->host_pid = (int32_t) gp_syscall (SYS_getpid);
  segment->start_mono_ns = gp_clock_ns (CLOCK_MONOTONIC);
  segment->start_real_ns = gp_clock_ns (CLOCK_REALTIME);
  segment->strings_used = 1; /* offset 0 is "" */
  *fd = memory;
  g_segment = segment;
  return 0;
}

/* Requires: the lock. 0: full. */
static uint32_t
take_bytes (size_t bytes)
{
  uint32_t offset = g_segment->strings_used;
  if (bytes > GP_STRINGS - offset)
    return 0;
  gp_store_release (&g_segment->strings_used, offset + (uint32_t) bytes);
  return offset;
}

/* The smallest size of blocks that holds so many bytes. */
static int
size_class (size_t bytes)
{
  int found = 0;
  while (found < SIZE_CLASSES - 1 && (size_t) SMALLEST_BLOCK << found < bytes)
    found++;
  return found;
}

uint32_t
gp_strings_take (size_t bytes, uint32_t *room)
{
  int wanted = size_class (bytes);
  *room = SMALLEST_BLOCK << wanted;
  if (*room < bytes)
    return 0;
  pthread_mutex_lock (&g_strings_lock);
  uint32_t offset = g_free_blocks[wanted];
  if (offset != 0)
    memcpy (&g_free_blocks[wanted], g_segment->strings + offset, sizeof offset);
  else
    offset = take_bytes (*room);
  pthread_mutex_unlock (&g_strings_lock);
  return offset;
}

void
gp_strings_release (uint32_t offset, uint32_t room)
{
  if (room == 0)
    return;
  pthread_mutex_lock (&g_strings_lock);
  uint32_t *first = &g_free_blocks[size_class (room)];
  memcpy (g_segment->strings + offset, first, sizeof *first); /* a free block holds the offset of the next one */
  *first = offset;
  pthread_mutex_unlock (&g_strings_lock);
}

uint32_t
gp_strings_add (const char *text)
{
  size_t bytes = strlen (text) + 1;
  if (bytes == 1)
    return 0;
  pthread_mutex_lock (&g_strings_lock);
  uint32_t offset = take_bytes (bytes);
  if (offset != 0)
    memcpy (g_segment->strings + offset, text, bytes);
  pthread_mutex_unlock (&g_strings_lock);
  return offset;
}

void
gp_write_stderr (const char *line, size_t bytes)
{
  static const struct timespec at_once = { 0 };
  int saved_errno = errno;
  sigset_t pipe, before, pending;
  sigemptyset (&pipe);
  sigaddset (&pipe, SIGPIPE);
  sigemptyset (&pending);
  pthread_sigmask (SIG_BLOCK, &pipe, &before);
  sigpending (&pending);
  /* Discards the signal that the write raised, unless one was pending before. System calls, since libc's functions are
   * cancellation points. */
  if (gp_syscall (SYS_write, STDERR_FILENO, line, bytes) < 0 && errno == EPIPE && sigismember (&pending, SIGPIPE) == 0)
    gp_syscall (SYS_rt_sigtimedwait, &pipe, NULL, &at_once, _NSIG / 8);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  errno = saved_errno;
}
