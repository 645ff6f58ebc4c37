/* SPDX-License-Identifier: MIT */
/* unwind_scan.h: across code without CFI.
 *
 * Context: signal.
 */
#ifndef GP_UNWIND_SCAN_H
#define GP_UNWIND_SCAN_H

#include "cfi.h"

/* Replaces *frame, whose code has no CFI, by the caller that called into such code: a return address on the stack from
 * which CFI steps meet target's sp exactly (target NULL: the thread's outermost frame). Raises *end to how sure that is.
 * False, and *frame as it was, where nothing stands the test. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_scan (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_boundary *target,
    bool quick, enum gp_stack_end *end);

#endif
