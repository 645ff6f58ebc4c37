/* SPDX-License-Identifier: MIT */
/* segment.h: the shared memory, from the shim's side. Layout: abi.h.
 *
 * Context: creation and strings are lifecycle or the slow path of hooks; gp_count() serves every context.
 */
#ifndef GP_SEGMENT_H
#define GP_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shared/abi.h"
#include "shared/atomics.h"
#include "shared/futex.h"
#include "shim/base/clock.h"

#define GP_INTERNAL __attribute__ ((visibility ("hidden")))

/* NULL until a tracer exists. Never unmapped after that: a handler may be running. */
extern GP_INTERNAL struct gp_segment *g_segment;

/* True from the end of the start to the stop; false in a forked child, and where the start failed. Everything of ours
 * that runs in the host reads this first. */
extern GP_INTERNAL _Atomic bool g_active;

/* The host has used no CPU time for a while, so the poller looks seldom. Code that gives it something to do calls
 * gp_poller_wake(). */
extern GP_INTERNAL _Atomic bool g_poller_rests;

/* Relaxed: a count orders nothing. MT-Safe | AS-Safe */
static inline void
gp_count (enum gp_counter counter)
{
  gp_add (&g_segment->counters[counter], 1);
}

/* Creates and maps the segment; *fd is its memfd, close-on-exec. Returns an errno or 0. MT-Unsafe | AS-Unsafe */
GP_INTERNAL int gp_segment_create (int *fd);

/* Moves a descriptor to a high number: hosts may rely on the numbers of their own files, and the standard ones may be
 * closed. Returns the new one, close-on-exec; -1 where low is no descriptor. MT-Safe | AS-Safe */
GP_INTERNAL int gp_fd_move_up (int low);

/* Copies text into the segment for good, and returns its offset; the same text is copied again. Returns 0 (the empty
 * string) where the heap is full. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_strings_add (const char *text);

/* Takes a block of at least so many bytes in the segment's strings, for text that will be released; *room: its true
 * size. Returns 0 where the heap is full. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_strings_take (size_t bytes, uint32_t *room);

/* Releases a block of gp_strings_take(), which the agent must not read any more. Does nothing where room is 0.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_strings_release (uint32_t offset, uint32_t room);

/* Ends the poller's rest. Relaxed: a host that has begun to work a moment before the rest is seen at its end.
 * MT-Safe | AS-Safe */
static inline void
gp_poller_wake (void)
{
  if (__builtin_expect (atomic_load_explicit (&g_poller_rests, memory_order_relaxed), 0))
    gp_futex_signal (&g_segment->poll);
}

/* Writes a line to stderr, if that is possible. A broken pipe there does not end the host. MT-Safe | AS-Safe */
GP_INTERNAL void gp_write_stderr (const char *line, size_t bytes);

#endif
