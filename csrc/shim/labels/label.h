/* SPDX-License-Identifier: MIT */
/* label.h: who is running. Labels, and the per-thread stack of them.
 *
 * A label is a row of g_segment->labels: never a pointer to an element, since elements die before their samples are
 * read and addresses are reused. An element has one label for its life. References keep a label's row: the element has
 * one, each thread that has an account for it, each child, and all work that waits to run under it. Without any, the
 * label has ended, and the agent gives the row back once it has read what was measured.
 *
 * Who calls push and pop (tracer hooks, wrapped thread functions) is not this file's business.
 *
 * Context: push, pop and base are hook, on the thread's own stack; gp_label_current() is signal too; making and
 * references (label_rows.c) are lifecycle or the slow path of hooks.
 */
#ifndef GP_LABEL_H
#define GP_LABEL_H

#include "shim/threads/thread.h"

/* The place a label begins: the frame that called the function this stands in. sp is that caller's stack pointer at
 * the call, so frames of the label have a CFA at or below it. Must be expanded in the hook itself, which is compiled
 * with a frame pointer. */
#if defined(__x86_64__)
#define GP_CALLER_BP() (((uintptr_t *) __builtin_frame_address (0))[0])
#define GP_CALLER_SP() ((uintptr_t) __builtin_frame_address (0) + 16)
#elif defined(__aarch64__)
#define GP_CALLER_BP() (((uintptr_t *) __builtin_frame_address (0))[0])
#define GP_CALLER_SP() ((uintptr_t) __builtin_dwarf_cfa ())
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif
#define GP_CALLER(label_)                                                                                              \
  ((struct gp_boundary) { .pc = (uintptr_t) __builtin_extract_return_addr (__builtin_return_address (0)),              \
      .sp = GP_CALLER_SP (),                                                                                           \
      .bp = GP_CALLER_BP (),                                                                                           \
      .label = (label_) })

/* Makes the fixed labels; once, before g_active. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_label_init (void);

/* A new label; the reference to it is the caller's. [too many labels], which lives for ever, once the table is full.
 * name: as shown. factory: from gp_strings_add(). parent: label of the bin that holds the element, or 0; gets a
 * reference. auto_named: GStreamer made the name. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_make (
    enum gp_label_kind kind, const char *name, uint32_t factory, uint32_t parent, bool auto_named);

/* One reference more; false: the label has ended already, and is not to be used. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_label_ref (uint32_t label);

/* One reference less. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_unref (uint32_t label);

/* The element is gone: its reference is given back, and threads give theirs back when they come round to it.
 * MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_gone (uint32_t label);

/* The element has another name now. The agent may read a torn one at that moment, and reads it again.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_label_rename (uint32_t label, const char *name, bool auto_named);

/* The element is in another bin now, or in one for the first time. 0 keeps the last one. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_set_parent (uint32_t label, uint32_t parent);

/* Writes "/pipeline0/bin0/x264enc0" into path, cut at the root's side where there is no room. Returns its length.
 * MT-Safe | AS-Safe */
GP_INTERNAL size_t gp_label_path (uint32_t label, char *path, size_t bytes);

/* The label of the topmost bin above, or the label itself. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_topmost (uint32_t label);

/* The one label of a kind that has no element. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_fixed (enum gp_label_kind kind);

/* Enters a label: closes the stretch behind, then publishes the entry to the handler. MT-Safe | AS-Unsafe (rare mmap)
 */
GP_INTERNAL void gp_label_push (struct gp_thread *thread, struct gp_boundary boundary);

/* Leaves the label entered from the frame whose stack pointer was sp; does nothing if none was. Entries below it are
 * dead (GStreamer skips some post hooks) and dropped. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_label_pop (struct gp_thread *thread, uintptr_t sp);

/* Sets what the thread does outside every entry. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_label_set_base (struct gp_thread *thread, uint32_t label);

/* The label in force at stack pointer sp. Entries below sp are dead and passed over. MT-Safe | AS-Safe */
static inline uint32_t
gp_label_current (const struct gp_thread *thread, uintptr_t sp)
{
  for (uint32_t i = thread->depth; i > 0; i--)
    if (thread->entries[i - 1].sp >= sp)
      return thread->entries[i - 1].label;
  return thread->base;
}

/* The label of what an element does itself. A bin's state change is mostly that of its children and has a label of its
 * own; what the bin's threads, tasks and own pads do is an element's work: rtspsrc receives, webrtcbin has threads. Of
 * other labels: the label given. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_own_work (uint32_t label);

/* The bin is a plain one: what its threads do is its state change. Right behind gp_label_make(). MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_without_own_work (uint32_t label);

/* The label that work handed to another thread takes along: the element in force, a bin as an element, or the agent;
 * else 0. It lives as long as the thread runs under it. MT-Safe lock | AS-Unsafe lock */
static inline uint32_t
gp_label_to_hand_over (const struct gp_thread *thread)
{
  uint32_t label = thread->depth ? thread->entries[thread->depth - 1].label : thread->base;
  uint32_t kind = g_segment->labels[label].kind;
  bool is_of_element = kind == GP_LABEL_ELEMENT || kind == GP_LABEL_STATE_CHANGE;
  return is_of_element ? gp_label_own_work (label) : kind == GP_LABEL_AGENT ? label : 0;
}

#endif
