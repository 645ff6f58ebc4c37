/* SPDX-License-Identifier: MIT */
/* cfi_program.h: the rules that an FDE gives for a pc.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_PROGRAM_H
#define GP_CFI_PROGRAM_H

#include "shim/signal/cfi_find.h"
#include "shim/signal/frame.h"

enum
{
  GP_CFI_REMEMBERED = 2 /* nested DW_CFA_remember_state; compilers use one */
};

enum gp_rule
{
  GP_RULE_SAME = 0,
  GP_RULE_UNDEFINED,
  GP_RULE_OFFSET,     /* saved at CFA + value */
  GP_RULE_VAL_OFFSET, /* is CFA + value */
  GP_RULE_REGISTER,
  GP_RULE_EXPRESSION, /* saved at the address that the expression at lo + value gives */
  GP_RULE_VAL_EXPRESSION
};

/* The rules at one pc. */
struct gp_row
{
  uintptr_t start, end; /* the code for which they hold */
  int64_t cfa_offset;   /* or the offset of its expression from lo */
  uint32_t cfa_register;
  bool cfa_expression;
  uint8_t rule[GP_REGS]; /* enum gp_rule */
  int32_t value[GP_REGS];
};

/* Runs the programs up to pc. */
GP_INTERNAL bool gp_cfi_run (const struct gp_fde *fde, uintptr_t pc, struct gp_row *row);

#endif
