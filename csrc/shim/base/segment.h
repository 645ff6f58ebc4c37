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
#include "shim/base/clock.h"

#define GP_INTERNAL __attribute__ ((visibility ("hidden")))

/* NULL until a tracer exists; never unmapped after that: a handler may be in flight. */
extern GP_INTERNAL struct gp_segment *g_segment;

/* False until the tracer stands and again after the stop, in a forked child, and where we gave up. Everything of ours
 * that runs in the host asks this first. */
extern GP_INTERNAL _Atomic bool g_active;

/* Relaxed: a count orders nothing. MT-Safe | AS-Safe */
static inline void
gp_count (enum gp_counter counter)
{
  gp_add (&g_segment->counters[counter], 1);
}

/* Creates and maps the segment; *fd is its memfd, close-on-exec. Returns an errno or 0. MT-Unsafe | AS-Unsafe */
GP_INTERNAL int gp_segment_create (int *fd);

/* Moves a descriptor out of the way of hosts that count on the numbers of their own files, and of the standard ones,
 * which may be closed. Returns where to: close-on-exec, -1 where it is none. MT-Safe | AS-Safe */
GP_INTERNAL int gp_fd_move_up (int low);

/* Copies text into the segment, to stay there, and returns its offset; the same text gives a new copy. 0 (the empty
 * string) where the heap is full. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_strings_add (const char *text);

/* A block of at least so many bytes in the segment's strings, for text that will be given back; *room: its true size.
 * 0 where the heap is full. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_strings_take (size_t bytes, uint32_t *room);

/* Gives a block of gp_strings_take() back; nothing where room is 0. The agent reads it no more.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_strings_give_back (uint32_t offset, uint32_t room);

/* Wakes whoever waits on a futex word of the segment after raising it by one. MT-Safe | AS-Safe */
GP_INTERNAL void gp_segment_signal (uint32_t *word);

/* Waits until *word differs from seen, a signal comes, or the time is over. MT-Safe | AS-Safe */
GP_INTERNAL void gp_segment_wait (uint32_t *word, uint32_t seen, unsigned timeout_ms);

/* Writes a line to stderr, if it can be. A broken pipe there does not end the host. MT-Safe | AS-Safe */
GP_INTERNAL void gp_write_stderr (const char *line, size_t bytes);

#endif
