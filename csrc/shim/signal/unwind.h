/* SPDX-License-Identifier: MIT */
/* unwind.h: from the registers of an interrupted thread to its stack, element labels at their exact places.
 *
 * Files: unwind.c walks. unwind_scan.c crosses code without CFI; unwind_call*.c read the machine code of calls for it.
 * cfi.c makes one step: from its cache, or by cfi_find.c (FDE of a pc), cfi_program.c (its rules) and cfi_expression.c.
 * module_lookup.c finds the module of a pc.
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

/* Writes the stack to frames[], leaf first, in the format of abi.h's enum gp_frame_tag: at most max words (max is at
 * least 2). boundaries: n entries, outermost first; dead ones (sp below the current one) are skipped. root: where the
 * thread's function was called from, or NULL. A label without frames of its own (the tick came between two hooks) is
 * still marked at its place. frames[] should hold the same thread's last stack, or zeros: the rules of those frames are
 * prefetched. Bounded: at most max CFI steps, and a fixed number while scanning. MT-Safe | AS-Safe */
void gp_unwind (const struct gp_regs *regs, const struct gp_stack *stack, const struct gp_boundary *boundaries,
    uint32_t n, const struct gp_boundary *root, uint64_t *frames, uint32_t max, struct gp_walk_result *result)
    __attribute__ ((visibility ("hidden")));

#endif
