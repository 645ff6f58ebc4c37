/* SPDX-License-Identifier: MIT */
/* unwind.h: from the registers of an interrupted thread to its stack, element labels at their exact places.
 *
 * Files: unwind.c walks; unwind_scan.c crosses code without CFI; cfi.c makes one step, out of its cache or by
 * cfi_find.c (FDE of a pc), cfi_program.c (its rules) and cfi_expression.c; module_lookup.c knows whose code a pc is.
 *
 * Context: signal. All of it AS-Safe: no locks, no allocation, no libc beyond tests/native/as_safe_symbols.txt.
 */
#ifndef GP_UNWIND_H
#define GP_UNWIND_H

#include <stdint.h>
#include "shim/base/thread_state.h"

/* Where the thread was interrupted. */
struct gp_regs
{
  uintptr_t pc, sp, bp;
  uintptr_t lr;        /* aarch64 only */
  const void *context; /* the handler's ucontext_t: all other registers. NULL: not known */
};

struct gp_walk_result
{
  uint32_t depth; /* words written to frames[] */
  enum gp_stack_end end;
};

/* Writes the stack to frames[], leaf first, as abi.h's enum gp_frame_tag says, at most max (at least 2) words.
 * boundaries: n entries, outermost first; dead ones (sp below the current one) are passed over. root: where the
 * thread's function was called from, or NULL. The place of a label whose frames are none (interrupted between two
 * hooks) is still marked. frames[] should hold the same thread's last stack, or zeros: what is likely met again is
 * fetched early. Bounded: at most max CFI steps on the way, and a fixed number while scanning. MT-Safe | AS-Safe */
void gp_unwind (const struct gp_regs *regs, const struct gp_stack *stack, const struct gp_boundary *boundaries,
    uint32_t n, const struct gp_boundary *root, uint64_t *frames, uint32_t max, struct gp_walk_result *result)
    __attribute__ ((visibility ("hidden")));

#endif
