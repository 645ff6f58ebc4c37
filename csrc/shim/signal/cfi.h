/* SPDX-License-Identifier: MIT */
/* cfi.h: one step from a frame to its caller by call frame information (DWARF 5, 6.4; .eh_frame: LSB Core 5.0, 10.6).
 *
 * Nothing is built beforehand: a step reads the FDE in place, and caches the rule if it is a simple one. All reads of
 * CFI stay within the segment that holds it, all reads of stack within struct gp_stack. A read that would not fails the
 * step.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_H
#define GP_CFI_H

#include "shim/signal/frame.h"

enum gp_step
{
  GP_STEP_OK,
  GP_STEP_END, /* outermost frame: its return address is undefined */
  GP_STEP_NO_CFI,
  GP_STEP_BAD,             /* corrupt CFI, or impossible values */
  GP_STEP_UNKNOWN_REGISTER /* it needs a register that quick steps do not carry along */
};

/* Replaces *frame by its caller, or leaves it as it is. quick: through the cache; only pc, sp and bp are carried along.
 */
GP_INTERNAL enum gp_step gp_cfi_step (struct gp_frame *frame, const struct gp_stack *stack, bool quick);

/* Prefetches the rules of leaf and of frames (a walk's output; a word of 0 ends it): the next walk is likely to need
 * them, as the last one did. */
GP_INTERNAL void gp_cfi_expect (uintptr_t leaf, const uint64_t *frames, uint32_t n);

#endif
