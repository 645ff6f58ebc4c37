/* SPDX-License-Identifier: MIT */
/* cfi.c: makes a step, by a simple rule from the cache or by reading CFI.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi.h"
#include "shim/signal/cfi_expression.h"
#include "shim/signal/cfi_find.h"
#include "shim/signal/cfi_program.h"
#include "shim/signal/cfi_cache.h"

struct gp_cache_line g_cfi_cache[1 << GP_CACHE_BITS];

/* The slot of a register saved at CFA + value; 0: it is not saved there, or too far away. */
static uint64_t
slot_of (const struct gp_row *row, int reg)
{
  int64_t value = row->value[reg];
  if (row->rule[reg] != GP_RULE_OFFSET || value % 8 != 0 || value >= 0 || -value / 8 > GP_SIMPLE_SLOT_MAX)
    return 0;
  return (uint64_t) (-value / 8);
}

/* The simple rule that is equivalent to row; 0: there is none. */
static uint64_t
simplify (const struct gp_row *row, const struct gp_fde *fde)
{
  if (row->rule[GP_REG_RA] == GP_RULE_UNDEFINED)
    return GP_SIMPLE_VALID | GP_SIMPLE_END;
  if (fde->signal || row->cfa_expression || row->rule[GP_REG_SP] != GP_RULE_SAME)
    return 0;
  if ((row->cfa_register != GP_REG_SP && row->cfa_register != GP_REG_BP) || row->cfa_offset < 0
      || row->cfa_offset % 8 != 0 || (uint64_t) row->cfa_offset / 8 > GP_SIMPLE_CFA_MAX)
    return 0;
  uint64_t ra = slot_of (row, GP_REG_RA), bp = slot_of (row, GP_REG_BP);
  if ((ra == 0 && (row->rule[GP_REG_RA] != GP_RULE_SAME || GP_REG_RA == GP_REG_PC))
      || (bp == 0 && row->rule[GP_REG_BP] != GP_RULE_SAME))
    return 0;
  return GP_SIMPLE_VALID | (row->cfa_register == GP_REG_BP ? GP_SIMPLE_FROM_BP : 0) | ra << GP_SIMPLE_RA_SHIFT
         | bp << GP_SIMPLE_BP_SHIFT | (uint64_t) row->cfa_offset / 8 << GP_SIMPLE_CFA_SHIFT;
}

/* A caller's frame lies above its callee's. One exception: a leaf that has not touched the stack (its return address is
 * still in a register) shares its caller's sp. A signal frame may lead down, to another stack, and is not checked here.
 */
static inline bool
rises (const struct gp_frame *frame, uintptr_t cfa, bool in_register)
{
  return cfa > frame->r[GP_REG_SP] || (in_register && frame->exact && cfa == frame->r[GP_REG_SP]);
}

static enum gp_step
apply_simple (struct gp_frame *frame, const struct gp_stack *stack, uint64_t rule)
{
  if (__builtin_expect ((rule & (GP_SIMPLE_END | GP_SIMPLE_NONE)) != 0, 0))
    return rule & GP_SIMPLE_END ? GP_STEP_END : GP_STEP_NO_CFI;
  bool knows_bp = gp_knows (frame, GP_REG_BP);
  if ((rule & GP_SIMPLE_FROM_BP) != 0 && !knows_bp)
    return GP_STEP_UNKNOWN_REGISTER;
  uintptr_t cfa = frame->r[rule & GP_SIMPLE_FROM_BP ? GP_REG_BP : GP_REG_SP] + (rule >> GP_SIMPLE_CFA_SHIFT) * 8;
  uint64_t ra_slot = rule >> GP_SIMPLE_RA_SHIFT & GP_SIMPLE_SLOT_MAX,
           bp_slot = rule >> GP_SIMPLE_BP_SHIFT & GP_SIMPLE_SLOT_MAX;
  uintptr_t ra = frame->r[GP_REG_RA], bp = frame->r[GP_REG_BP];
  if (!rises (frame, cfa, ra_slot == 0) || (ra_slot == 0 && !gp_knows (frame, GP_REG_RA)))
    return GP_STEP_BAD;
  if (ra_slot != 0 && !gp_stack_read (stack, cfa - 8 * ra_slot, &ra))
    return GP_STEP_BAD;
  if (bp_slot != 0 && !gp_stack_read (stack, cfa - 8 * bp_slot, &bp))
    return GP_STEP_BAD;
  frame->r[GP_REG_PC] = gp_arch_code_address (ra);
  frame->r[GP_REG_SP] = cfa;
  frame->r[GP_REG_BP] = bp;
  frame->known =
      (uint64_t) 1 << GP_REG_PC | (uint64_t) 1 << GP_REG_SP | (uint64_t) (knows_bp || bp_slot != 0) << GP_REG_BP;
  frame->exact = false;
  return GP_STEP_OK;
}

/* The caller's value of a register; false: it is not known. */
static bool
caller_value (const struct gp_frame *frame, const struct gp_stack *stack, const struct gp_fde *fde,
    const struct gp_row *row, int reg, uintptr_t cfa, uintptr_t *value)
{
  uintptr_t operand = (uintptr_t) (intptr_t) row->value[reg], at = fde->lo + (uint32_t) row->value[reg];
  switch (row->rule[reg]) {
    case GP_RULE_SAME:
      *value = frame->r[reg];
      return gp_knows (frame, (uint64_t) reg);
    case GP_RULE_OFFSET:
      return gp_stack_read (stack, cfa + operand, value);
    case GP_RULE_VAL_OFFSET:
      *value = cfa + operand;
      return true;
    case GP_RULE_REGISTER:
      if (!gp_knows (frame, operand))
        return false;
      *value = frame->r[operand];
      return true;
    case GP_RULE_EXPRESSION:
      return gp_cfi_evaluate (at, fde->hi, frame, stack, &cfa, &at) && gp_stack_read (stack, at, value);
    case GP_RULE_VAL_EXPRESSION:
      return gp_cfi_evaluate (at, fde->hi, frame, stack, &cfa, value);
    default: /* GP_RULE_UNDEFINED */
      return false;
  }
}

/* False: the CFA depends on a register that is not known, as quick steps lose most. */
static bool
find_cfa (const struct gp_frame *frame, const struct gp_stack *stack, const struct gp_fde *fde,
    const struct gp_row *row, uintptr_t *cfa)
{
  if (row->cfa_expression)
    return gp_cfi_evaluate (fde->lo + (uintptr_t) row->cfa_offset, fde->hi, frame, stack, NULL, cfa);
  if (!gp_knows (frame, row->cfa_register))
    return false;
  *cfa = frame->r[row->cfa_register] + (uintptr_t) row->cfa_offset;
  return true;
}

static enum gp_step
apply_row (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_fde *fde, const struct gp_row *row)
{
  if (row->rule[GP_REG_RA] == GP_RULE_UNDEFINED)
    return GP_STEP_END;
  uintptr_t cfa;
  if (!find_cfa (frame, stack, fde, row, &cfa))
    return GP_STEP_UNKNOWN_REGISTER;
  struct gp_frame caller = { .known = 0, .exact = fde->signal };
  for (int reg = 0; reg < GP_REGS; reg++)
    if (reg != GP_REG_PC && caller_value (frame, stack, fde, row, reg, cfa, &caller.r[reg]))
      caller.known |= (uint64_t) 1 << reg;
  if (row->rule[GP_REG_SP] == GP_RULE_SAME)
    caller.r[GP_REG_SP] = cfa;
  else if (!gp_knows (&caller, GP_REG_SP))
    return GP_STEP_BAD;
  caller.known |= (uint64_t) 1 << GP_REG_SP;
  bool in_register = GP_REG_RA != GP_REG_PC && row->rule[GP_REG_RA] == GP_RULE_SAME;
  uintptr_t ra;
  if ((GP_REG_RA == GP_REG_PC && row->rule[GP_REG_RA] == GP_RULE_SAME)
      || !caller_value (frame, stack, fde, row, GP_REG_RA, cfa, &ra))
    return GP_STEP_BAD;
  if (!fde->signal && !rises (frame, caller.r[GP_REG_SP], in_register))
    return GP_STEP_BAD;
  caller.r[GP_REG_PC] = gp_arch_code_address (ra);
  caller.known |= (uint64_t) 1 << GP_REG_PC;
  *frame = caller;
  return GP_STEP_OK;
}

#if defined(__aarch64__)
static const uint32_t MOV_X8_RT_SIGRETURN = 0xd2801168, SVC = 0xd4000001, BTI_C = 0xd503245f,
                      STP_X16_X30 = 0xa9bf7bf0; /* stp x16, x30, [sp, #-16]!, in the PLT's first entry alone */
#endif

/* Steps out of the kernel's signal frame where its trampoline has no CFI, as on aarch64 since Linux 5.8. The trampoline
 * is recognised by its instructions. */
static bool
step_over_signal (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_code *code)
{
#if defined(__aarch64__)
  uintptr_t pc = frame->r[GP_REG_PC];
  if (pc % 4 != 0 || pc < code->start + 4 || pc > code->end - 8)
    return false;
  const uint32_t *at = (const uint32_t *) pc;
  if (frame->exact && at[0] == SVC)
    at--;
  if (at[0] != MOV_X8_RT_SIGRETURN || at[1] != SVC)
    return false;
  struct gp_frame caller = { .known = ((uint64_t) 1 << GP_REGS) - 1, .exact = true };
  uintptr_t saved = frame->r[GP_REG_SP] + GP_SIGNAL_REGS;
  for (int reg = 0; reg < GP_REGS; reg++) /* x0 to x30, sp, pc: our own order */
    if (!gp_stack_read (stack, saved + 8 * (uintptr_t) reg, &caller.r[reg]))
      return false;
  *frame = caller;
  return true;
#else
  (void) frame, (void) stack, (void) code;
  return false; /* glibc's has CFI */
#endif
}

/* Steps out of a PLT stub, which has no CFI on aarch64. It changes no register that its caller relies on. */
static bool
step_over_stub (struct gp_frame *frame, const struct gp_code *code)
{
#if defined(__aarch64__)
  /* adrp x16; ldr x17, [x16, #]; add x16, x16, #; br x17 */
  static const uint32_t masks[] = { 0x9f00001f, 0xffc003ff, 0xffc003ff, 0xffffffff },
                        words[] = { 0x90000010, 0xf9400211, 0x91000210, 0xd61f0220 };
  uintptr_t pc = frame->r[GP_REG_PC];
  if (!frame->exact || !gp_knows (frame, GP_REG_RA) || pc % 4 != 0 || pc < code->start + 16 || pc > code->end - 24)
    return false;
  const uint32_t *at = (const uint32_t *) pc, *first = at;
  while (first < at + 2 && (*first == BTI_C || *first == STP_X16_X30))
    first++;
  while (first > at - 3 && (*first & masks[0]) != words[0])
    first--;
  for (int i = 0; i < 4; i++)
    if ((first[i] & masks[i]) != words[i])
      return false;
  if (first <= at && first[-1] == STP_X16_X30)
    frame->r[GP_REG_SP] += 16;
  frame->r[GP_REG_PC] = gp_arch_code_address (frame->r[GP_REG_RA]);
  frame->known &= ~((uint64_t) 1 << GP_REG_RA);
  frame->exact = false;
  return true;
#else
  (void) frame, (void) code;
  return false; /* linkers write CFI for it */
#endif
}

/* Reads CFI. Not inline: steps from the cache do not need its large stack frame. */
__attribute__ ((noinline)) static enum gp_step
step_by_cfi (struct gp_frame *frame, const struct gp_stack *stack, uintptr_t pc, bool quick)
{
  struct gp_code code;
  struct gp_fde fde;
  struct gp_row row;
  if (!gp_modules_find (pc, &code))
    return GP_STEP_NO_CFI;
  if (!gp_cfi_find (pc, &code, &fde)) {
    if (step_over_signal (frame, stack, &code) || step_over_stub (frame, &code))
      return GP_STEP_OK;
    if (fde.start <= pc && pc < fde.end)
      gp_cache_remember (pc, frame->exact, fde.start, fde.end, GP_SIMPLE_NONE);
    return GP_STEP_NO_CFI;
  }
  if (!gp_cfi_run (&fde, pc, &row))
    return GP_STEP_BAD;
  uint64_t rule = simplify (&row, &fde);
  if (rule == 0 || !quick)
    return apply_row (frame, stack, &fde, &row);
  gp_cache_remember (pc, frame->exact, row.start, row.end, rule);
  return apply_simple (frame, stack, rule);
}

enum gp_step
gp_cfi_step (struct gp_frame *frame, const struct gp_stack *stack, bool quick)
{
  /* A call that never returns may be a function's last instruction: its return address lies in the next function. So a
   * return address stands for the call before it. */
  uintptr_t pc = frame->r[GP_REG_PC] - !frame->exact;
  uint64_t rule = quick ? gp_cache_recall (pc, frame->exact) : 0;
  return rule != 0 ? apply_simple (frame, stack, rule) : step_by_cfi (frame, stack, pc, quick);
}

void
gp_cfi_expect (uintptr_t leaf, const uint64_t *frames, uint32_t n)
{
  __builtin_prefetch (gp_cache_line (leaf / GP_BLOCK_BYTES));
  __builtin_prefetch (gp_cache_line_of_area (leaf));
  for (uint32_t i = 0; i < n && frames[i] != 0; i++)
    __builtin_prefetch (gp_cache_line ((frames[i] - 1) / GP_BLOCK_BYTES));
}
