/* SPDX-License-Identifier: MIT */
/* label.c: entering and leaving a label on a thread.
 *
 * Context: hook: no lock, no allocation but the doubling of a deep stack.
 */
#define _GNU_SOURCE
#include "shim/labels/label.h"

#include <string.h>
#include <sys/mman.h>
#include "shim/labels/account.h"
#include "shim/labels/account_table.h"

/* Doubles the stack. The handler of this same thread sees the old array or the new one, each whole. */
static bool
grow (struct gp_thread *thread)
{
  size_t bytes = thread->capacity * sizeof thread->entries[0];
  void *larger = mmap (NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (larger == MAP_FAILED)
    return false;
  memcpy (larger, thread->entries, bytes);
  void *old = thread->entries;
  atomic_signal_fence (memory_order_seq_cst);
  thread->entries = larger;
  atomic_signal_fence (memory_order_seq_cst);
  if (old != thread->first_entries)
    munmap (old, bytes);
  thread->capacity *= 2;
  return true;
}

static uint32_t
top_label (const struct gp_thread *thread)
{
  return thread->depth ? thread->entries[thread->depth - 1].label : thread->base;
}

void
gp_label_push (struct gp_thread *thread, struct gp_boundary boundary)
{
  uint32_t depth = thread->depth;
  /* An entry at or below the new one has lost its frame: that returned without its post hook. */
  for (; depth > 0 && thread->entries[depth - 1].sp <= boundary.sp; depth--)
    gp_count (GP_COUNTER_LABELS_DEAD);
  thread->depth = depth;
  if (depth == thread->capacity && !grow (thread)) {
    gp_count (GP_COUNTER_LABELS_FULL);
    return;
  }
  gp_account_switch (thread, boundary.label);
  /* Where there was no account for the label, the time goes to the current tally's: samples get that label too, for
   * nothing else holds a reference to the one asked for. */
  if (__builtin_expect (thread->meter.current->label != boundary.label, 0) && thread->meter.current->label != 0)
    boundary.label = thread->meter.current->label;
  thread->entries[depth] = boundary;
  atomic_signal_fence (memory_order_release); /* the handler of this thread sees the entry before the depth */
  thread->depth = depth + 1;
}

void
gp_label_pop (struct gp_thread *thread, uintptr_t sp)
{
  uint32_t depth = thread->depth;
  if (depth == 0 || thread->entries[depth - 1].sp > sp)
    return;
  for (; depth > 0 && thread->entries[depth - 1].sp < sp; depth--)
    gp_count (GP_COUNTER_LABELS_DEAD);
  if (depth > 0 && thread->entries[depth - 1].sp == sp)
    depth--;
  thread->depth = depth;
  gp_account_switch (thread, top_label (thread));
}

void
gp_label_set_base (struct gp_thread *thread, uint32_t label)
{
  /* The label's account holds the reference. */
  uint32_t counted = gp_tally_find (thread, label)->label;
  thread->base = counted != 0 ? counted : label;
  gp_account_switch (thread, top_label (thread));
}
