/* SPDX-License-Identifier: MIT */
/* cfi_expression.h: DWARF expressions in call frame information.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_EXPRESSION_H
#define GP_CFI_EXPRESSION_H

#include "shim/signal/frame.h"

/* Evaluates the expression at at, below end: a length, then its operations. initial, unless NULL, is on its stack at
 * the start. False: it is damaged, too long, or needs a register or memory that is not known. */
GP_INTERNAL bool gp_cfi_evaluate (uintptr_t at, uintptr_t end, const struct gp_frame *frame,
    const struct gp_stack *stack, const uintptr_t *initial, uintptr_t *value);

#endif
