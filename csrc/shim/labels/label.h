/* SPDX-License-Identifier: MIT */
/* label.h: the stack of labels of each thread, which says for whom it runs.
 *
 * Tracer hooks, redirected calls and wrapped thread functions push and pop.
 *
 * Context: hook, on the thread's own stack. The handler reads it by gp_label_current() of thread_state.h.
 */
#ifndef GP_LABEL_H
#define GP_LABEL_H

#include "shim/labels/label_rows.h"

/* The boundary at which a label begins: the frame that called the function in which the macro is expanded. sp is that
 * caller's stack pointer at the call, so frames of the label have a CFA at or below it. To be expanded in the hook
 * itself, which is compiled with a frame pointer. */
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

/* Enters a label: ends the open stretch of the account, then publishes the entry to the handler. MT-Safe | AS-Unsafe
 * (rare mmap)
 */
GP_INTERNAL void gp_label_push (struct gp_thread *thread, struct gp_boundary boundary);

/* Leaves the label that was entered from the frame whose stack pointer is sp; does nothing where none was. Entries
 * below sp are dead (GStreamer skips some post hooks) and are dropped. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_label_pop (struct gp_thread *thread, uintptr_t sp);

/* Sets the label of what the thread does outside of every entry. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_label_set_base (struct gp_thread *thread, uint32_t label);

/* The label under which another thread is to do work that this one hands over: the element in force (a bin as an
 * element), or the agent; else 0. The label lives as long as this thread runs under it; whoever keeps it longer takes a
 * reference. MT-Safe lock | AS-Unsafe lock */
static inline uint32_t
gp_label_to_hand_over (const struct gp_thread *thread)
{
  uint32_t label = thread->depth ? thread->entries[thread->depth - 1].label : thread->base;
  uint32_t kind = g_segment->labels[label].kind;
  bool is_of_element = kind == GP_LABEL_ELEMENT || kind == GP_LABEL_STATE_CHANGE;
  return is_of_element ? gp_label_own_work (label) : kind == GP_LABEL_AGENT ? label : 0;
}

#endif
