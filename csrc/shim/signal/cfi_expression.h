/* SPDX-License-Identifier: MIT */
/* cfi_expression.h: DWARF expressions in call frame information.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_EXPRESSION_H
#define GP_CFI_EXPRESSION_H

#include "shim/signal/frame.h"

/* Evaluates the expression (length first) at at, below end. initial, where not NULL, lies on its stack at the start. */
GP_INTERNAL bool gp_cfi_evaluate (uintptr_t at, uintptr_t end, const struct gp_frame *frame,
    const struct gp_stack *stack, const uintptr_t *initial, uintptr_t *value);

#endif
