/* SPDX-License-Identifier: MIT */
/* unwind_scan.h: a step out of code without CFI, by scanning the stack.
 *
 * Context: signal.
 */
#ifndef GP_UNWIND_SCAN_H
#define GP_UNWIND_SCAN_H

#include "shim/signal/frame.h"

/* What one sample may spend on all its scans. */
struct gp_scan_budget
{
  uint32_t words;      /* of stack read */
  uint32_t lookups;    /* of modules, for words that may be addresses of code */
  uint32_t candidates; /* return addresses followed */
  uint32_t steps;      /* CFI steps made for candidates */
};

static const struct gp_scan_budget GP_SCAN_BUDGET = { .words = 4096, .lookups = 512, .candidates = 32, .steps = 512 };

/* Replaces *frame, whose code has no CFI, by the caller that called into such code: a return address on the stack from
 * which CFI steps lead to target's sp exactly (target NULL: to the thread's outermost frame). Raises *end to
 * GP_STACK_SCAN or GP_STACK_GUESSED. False, and *frame void, where no word passes. Requires: gp_modules_enter().
 * MT-Safe | AS-Safe */
GP_INTERNAL bool gp_scan (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_boundary *target,
    struct gp_scan_budget *budget, enum gp_stack_end *end);

#endif
