/* SPDX-License-Identifier: MIT */
/* unwind_scan.h: across code without CFI.
 *
 * Context: signal.
 */
#ifndef GP_UNWIND_SCAN_H
#define GP_UNWIND_SCAN_H

#include "shim/signal/frame.h"

/* What one sample may spend on all its scans. */
struct gp_scan_budget
{
  uint32_t words;      /* of stack looked at */
  uint32_t lookups;    /* of their modules, of those that may be code */
  uint32_t candidates; /* return addresses followed */
  uint32_t steps;      /* CFI steps made for them */
};

static const struct gp_scan_budget GP_SCAN_BUDGET = { .words = 4096, .lookups = 512, .candidates = 32, .steps = 512 };

/* Replaces *frame, whose code has no CFI, by the caller that called into such code: a return address on the stack from
 * which CFI steps meet target's sp exactly (target NULL: the thread's outermost frame). Raises *end to how sure that
 * is. False, and *frame void, where nothing stands the test. Requires: gp_modules_enter(). MT-Safe | AS-Safe */
GP_INTERNAL bool gp_scan (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_boundary *target,
    struct gp_scan_budget *budget, enum gp_stack_end *end);

#endif
