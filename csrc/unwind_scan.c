/* SPDX-License-Identifier: MIT */
/* unwind_scan.c: finds the caller of code without CFI among the words of the stack.
 *
 * A word is a candidate where it points right behind a call instruction, in code that has CFI. It is taken where CFI
 * steps from it meet the boundary exactly. That alone is not enough: a dead return address, left by an earlier callee,
 * steps there as well. So what is called must fit who was called:
 * - the candidate's direct call must lead to code without CFI, or to a function that jumps on to such;
 * - each later frame's direct call must lead to the function of the frame below it.
 * Where an indirect call stands nobody can say, and the stack is a guess.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "unwind_scan.h"

#include "unwind_call.h"

static const uintptr_t HIGHEST_CODE = (uintptr_t) 1 << 48;

enum
{
  LOWEST_CODE = 0x10000,        /* nothing is mapped below (vm.mmap_min_addr) */
  SAVED_WORDS = 8               /* right below a return address, where code saves its caller's bp */
};

struct scan
{
  const struct gp_stack *stack;
  const struct gp_boundary *target;
  struct gp_scan_budget *budget;
  uintptr_t bp;                 /* of the frame that has no CFI; 0: not known */
  struct gp_code code;          /* where the last candidate lay; most lie there */
};

/* Whether the frame at hand is what the scan wants to reach. */
static bool
arrived (const struct scan *scan, const struct gp_frame *frame)
{
  return scan->target != NULL && frame->r[GP_REG_SP] == scan->target->sp;
}

static bool
gone_too_far (const struct scan *scan, const struct gp_frame *frame)
{
  return scan->target != NULL && frame->r[GP_REG_SP] > scan->target->sp;
}

/* Follows a candidate to the target. GP_STACK_SCAN or GP_STACK_GUESSED: how sure it is; GP_STACK_TRUNCATED: it does not
 * lead there. needs_bp: for want of bp, it seems. */
static enum gp_stack_end
follow (const struct scan *scan, struct gp_frame *frame, bool *needs_bp)
{
  enum gp_stack_end end = GP_STACK_SCAN;
  while (!arrived (scan, frame)) {
    if (gone_too_far (scan, frame) || scan->budget->steps == 0)
      return GP_STACK_TRUNCATED;
    scan->budget->steps--;
    uintptr_t below = frame->r[GP_REG_PC] - !frame->exact;
    enum gp_step step = gp_cfi_step (frame, scan->stack, true);
    if (step == GP_STEP_END && scan->target == NULL)
      return end;
    *needs_bp = step == GP_STEP_UNKNOWN_REGISTER;
    if (step != GP_STEP_OK)
      return GP_STACK_TRUNCATED;
    enum gp_link link = frame->exact ? GP_LINK_DIRECT : gp_call_link (frame->r[GP_REG_PC], below);
    if (link == GP_LINK_NO)
      return GP_STACK_TRUNCATED;
    if (link == GP_LINK_JUMP)
      end = GP_STACK_GUESSED;
  }
  return end;
}

static void
set_candidate (struct gp_frame *frame, uintptr_t pc, uintptr_t sp)
{
  frame->r[GP_REG_PC] = pc;
  frame->r[GP_REG_SP] = sp;
  frame->known = (uint64_t) 1 << GP_REG_PC | (uint64_t) 1 << GP_REG_SP;
  frame->exact = false;
}

/* Follows the candidate in slot. Where its bp matters, that may be the present one, or be saved right below the return
 * address. frame becomes the candidate where it leads to the target, and is void otherwise. */
static enum gp_stack_end
try (const struct scan *scan, struct gp_frame *frame, uintptr_t slot, uintptr_t pc)
{
  bool needs_bp = false;
  set_candidate (frame, pc, slot + sizeof slot);
  enum gp_stack_end end = follow (scan, frame, &needs_bp);
  set_candidate (frame, pc, slot + sizeof slot);
  for (uintptr_t i = 0; needs_bp && i <= SAVED_WORDS; i++) {
    uintptr_t bp = scan->bp;
    if (i > 0 && !gp_stack_read (scan->stack, slot - sizeof slot * i, &bp))
      break;
    if (bp <= slot || bp >= scan->stack->hi)
      continue;
    bool again;
    frame->r[GP_REG_BP] = bp;
    frame->known |= (uint64_t) 1 << GP_REG_BP;
    end = follow (scan, frame, &again);
    set_candidate (frame, pc, slot + sizeof slot);
    frame->r[GP_REG_BP] = bp;
    frame->known |= (uint64_t) 1 << GP_REG_BP;
    if (end != GP_STACK_TRUNCATED)
      break;
  }
  return end;
}

/* Whether pc is a return address that may have called code without CFI; GP_LINK_DIRECT: it did. */
static enum gp_link
judge (struct scan *scan, uintptr_t pc)
{
  if ((pc <= scan->code.start || pc > scan->code.end)
      && (pc < LOWEST_CODE || pc > HIGHEST_CODE || (pc >= scan->stack->lo && pc < scan->stack->hi)
          || !gp_modules_find (pc - 1, &scan->code)))
    return GP_LINK_NO;
  return gp_call_link (pc, 0);
}

bool
gp_scan (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_boundary *target,
    struct gp_scan_budget *budget, enum gp_stack_end *end)
{
  struct scan scan = {.stack = stack, .target = target, .budget = budget };
  scan.bp = gp_knows (frame, GP_REG_BP) ? frame->r[GP_REG_BP] : 0;
  uintptr_t limit = target != NULL ? target->sp : UINTPTR_MAX, pc;
  for (uintptr_t slot = (frame->r[GP_REG_SP] + 7) & ~(uintptr_t) 7; slot < limit; slot += sizeof slot) {
    if (budget->words == 0 || !gp_stack_read (stack, slot, &pc))
      return false;
    budget->words--;
    enum gp_link link = judge (&scan, pc);
    if (link == GP_LINK_NO)
      continue;
    if (budget->candidates == 0)
      return false;
    budget->candidates--;
    enum gp_stack_end how = try (&scan, frame, slot, pc);
    if (how == GP_STACK_TRUNCATED)
      continue;
    if (link != GP_LINK_DIRECT)
      how = GP_STACK_GUESSED;
    if (*end < how)
      *end = how;
    return true;
  }
  return false;
}
