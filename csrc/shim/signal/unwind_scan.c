/* SPDX-License-Identifier: MIT */
/* unwind_scan.c: finds the caller of code without CFI among the words of the stack.
 *
 * Example, on x86-64. gst_pad_push() called encode(), and encode() called satd(): hand-written assembly without CFI.
 * The tick interrupted satd(). Higher addresses are at the top:
 *
 *           :  frame of gst_pad_push()          :
 *           +-----------------------------------+ <- target: sp of gst_pad_push(), as the hook recorded it
 *   word 6  | return address in gst_pad_push()  |
 *   word 5  | locals of encode()                |
 *           +-----------------------------------+ <- sp of encode() once satd() has returned
 *   word 4  | return address in encode()        |    the caller we look for
 *   word 3  | a saved register                  |
 *   word 2  | return address in quantize()      |    dead: quantize() ran here before, and has returned
 *   word 1  | a pointer to pixels               |
 *           +-----------------------------------+ <- sp of satd() when the tick came
 *
 * CFI cannot step out of satd(). So the words are tried one by one, upwards from sp. A word is a candidate if it points
 * right behind a call instruction in code that has CFI. Words 1 and 3 are none.
 *
 * From a candidate CFI steps are made as if it were the caller. They must lead to the target's sp exactly. That alone
 * is not proof: word 2 passes. encode() had called quantize() from the same sp as satd() now, so a step from quantize()
 * finds word 4 as its return address, and a step from encode() leads to the target. So calls are compared as well:
 * - The call before the candidate must lead to code without CFI, or to a function that jumps on to such code. Word 2
 *   fails: the call before it leads to a function that has CFI. Word 4 passes: the call before it leads to satd().
 * - The call before each later return address must lead to the function of the frame below. For word 2 it does not: the
 *   call before word 4 leads to satd(), not to quantize().
 * An indirect call may lead anywhere: it does not refute a candidate, and a candidate found by one is a guess
 * (GP_STACK_GUESSED). So is a stack in which a called function may have jumped on to the next.
 *
 * leave_dead_frame() in tests/native/unwind/test_scan.c builds this stack.
 *
 * On aarch64 a call pushes nothing. The return address may still be in its register, and its place on the stack does
 * not give the caller's sp: several are tried.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/unwind_scan.h"

#include "shim/signal/unwind_call.h"
#include "shim/signal/cfi.h"

static const uintptr_t HIGHEST_CODE = (uintptr_t) 1 << 48;

enum
{
  LOWEST_CODE = 0x10000, /* nothing is mapped below (vm.mmap_min_addr) */
  SAVED_WORDS = 8        /* right below a return address, where code saves its caller's bp */
};

struct scan
{
  const struct gp_stack *stack;
  const struct gp_boundary *target;
  struct gp_scan_budget *budget;
  bool caller_known; /* the target's caller was looked up; the result: */
  enum gp_step caller_step;
  uintptr_t caller_pc, caller_sp;
  uintptr_t bp;        /* of the frame that has no CFI; 0: not known */
  struct gp_code code; /* of the last candidate; most others lie in the same module */
};

static void
set_candidate (struct gp_frame *frame, uintptr_t pc, uintptr_t sp)
{
  frame->r[GP_REG_PC] = pc;
  frame->r[GP_REG_SP] = sp;
  frame->known = (uint64_t) 1 << GP_REG_PC | (uint64_t) 1 << GP_REG_SP;
  frame->exact = false;
}

static void
set_bp (struct gp_frame *frame, uintptr_t bp)
{
  frame->r[GP_REG_BP] = bp;
  frame->known |= (uint64_t) 1 << GP_REG_BP;
}

static bool
arrived (const struct scan *scan, const struct gp_frame *frame)
{
  return scan->target != NULL && frame->r[GP_REG_SP] == scan->target->sp;
}

/* Whether a frame that arrived is the boundary's: its caller must be the boundary's caller. Their own pcs may differ: a
 * function calls the hook in one place, and the interrupted function in another. Voids frame. */
static bool
is_boundary (struct scan *scan, struct gp_frame *frame)
{
  if (!scan->caller_known) {
    struct gp_frame boundary;
    set_candidate (&boundary, scan->target->pc, scan->target->sp);
    set_bp (&boundary, scan->target->bp);
    scan->caller_known = true;
    scan->caller_step = gp_cfi_step (&boundary, scan->stack, true);
    scan->caller_pc = boundary.r[GP_REG_PC];
    scan->caller_sp = boundary.r[GP_REG_SP];
  }
  if (scan->caller_step != GP_STEP_OK && scan->caller_step != GP_STEP_END)
    return true; /* nothing to compare with */
  if (!gp_knows (frame, GP_REG_BP))
    set_bp (frame, scan->target->bp);
  enum gp_step step = gp_cfi_step (frame, scan->stack, true);
  return step == scan->caller_step
         && (step == GP_STEP_END || (frame->r[GP_REG_PC] == scan->caller_pc && frame->r[GP_REG_SP] == scan->caller_sp));
}

static bool
gone_too_far (const struct scan *scan, const struct gp_frame *frame)
{
  return scan->target != NULL && frame->r[GP_REG_SP] > scan->target->sp;
}

/* Follows a candidate to the target. GP_STACK_SCAN: it leads there; GP_STACK_GUESSED: it may; GP_STACK_TRUNCATED: it
 * does not. needs_bp: it does not, and a step needed bp, which is not known. */
static enum gp_stack_end
follow (struct scan *scan, struct gp_frame *frame, bool *needs_bp)
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
  return is_boundary (scan, frame) ? end : GP_STACK_TRUNCATED;
}

/* Follows the candidate. Where its bp matters, these are tried: its sp (on aarch64, where functions keep bp there), the
 * bp of the frame without CFI, and the words right below saved, where code saves its caller's bp. frame becomes the
 * candidate where it leads to the target, and is void otherwise. */
static enum gp_stack_end
follow_with_bp (struct scan *scan, struct gp_frame *frame, uintptr_t pc, uintptr_t sp, uintptr_t saved)
{
  bool needs_bp = false, again;
  set_candidate (frame, pc, sp);
  enum gp_stack_end end = follow (scan, frame, &needs_bp);
  set_candidate (frame, pc, sp);
  for (uintptr_t i = 0; needs_bp && i <= SAVED_WORDS + 1; i++) {
    uintptr_t bp = i == 0 ? sp : scan->bp;
    if (i > 1 && !gp_stack_read (scan->stack, saved - sizeof saved * (i - 1), &bp))
      break;
    if ((i == 0 && GP_CALL_PUSHES > 0) || bp < sp || bp >= scan->stack->hi)
      continue;
    set_bp (frame, bp);
    end = follow (scan, frame, &again);
    set_candidate (frame, pc, sp);
    if (end != GP_STACK_TRUNCATED) {
      set_bp (frame, bp);
      break;
    }
  }
  return end;
}

/* How the call before pc can have led to code without CFI; GP_LINK_NO: pc is no candidate. */
static enum gp_link
candidate_link (struct scan *scan, uintptr_t pc)
{
  if (pc > scan->code.start && pc <= scan->code.end)
    return gp_call_link (pc, 0);
  if (pc < LOWEST_CODE || pc > HIGHEST_CODE || (pc >= scan->stack->lo && pc < scan->stack->hi)
      || scan->budget->lookups == 0)
    return GP_LINK_NO;
  scan->budget->lookups--;
  return gp_modules_find (pc - 1, &scan->code) ? gp_call_link (pc, 0) : GP_LINK_NO;
}

/* Tries the candidate pc with this sp. If that is the target's sp already, no step is needed to get there, and arriving
 * proves nothing. Such a candidate counts only if its own direct call leads to code without CFI. */
static enum gp_stack_end
try_with_sp (struct scan *scan, struct gp_frame *frame, uintptr_t pc, uintptr_t sp, uintptr_t saved, enum gp_link link)
{
  if (link != GP_LINK_DIRECT && scan->target != NULL && sp == scan->target->sp)
    return GP_STACK_TRUNCATED;
  enum gp_stack_end end = follow_with_bp (scan, frame, pc, sp, saved);
  return end == GP_STACK_SCAN && link != GP_LINK_DIRECT ? GP_STACK_GUESSED : end;
}

/* The same where calls push nothing, so that the caller's sp is not known. A caller with a frame record has its sp in
 * bp: saved below the return address, or still in the register. Otherwise the caller's sp is somewhat above the return
 * address. All distances are tried, and the result is a guess. */
static enum gp_stack_end
try_sps_above (struct scan *scan, struct gp_frame *frame, uintptr_t pc, uintptr_t sp, enum gp_link link)
{
  uintptr_t records[2] = { 0, scan->bp };
  enum gp_stack_end end = GP_STACK_TRUNCATED;
  gp_stack_read (scan->stack, sp - 2 * sizeof sp, &records[0]);
  for (int i = 0; i < 2 && end == GP_STACK_TRUNCATED; i++)
    if (records[i] > sp && records[i] < scan->stack->hi)
      end = try_with_sp (scan, frame, pc, records[i], sp, link);
  for (uintptr_t room = 16; link == GP_LINK_DIRECT && room <= GP_SAVE_AREA && end == GP_STACK_TRUNCATED; room += 16)
    if (try_with_sp (scan, frame, pc, sp + room, sp, link) != GP_STACK_TRUNCATED)
      end = GP_STACK_GUESSED;
  return end;
}

/* Tries pc as the caller. If it was found on the stack, it was right below sp. */
static bool
try_candidate (struct scan *scan, struct gp_frame *frame, uintptr_t pc, uintptr_t sp, enum gp_stack_end *end)
{
  enum gp_link link = candidate_link (scan, pc);
  if (link == GP_LINK_NO || scan->budget->candidates == 0)
    return false;
  scan->budget->candidates--;
  enum gp_stack_end how = try_with_sp (scan, frame, pc, sp, sp - GP_CALL_PUSHES, link);
  if (how == GP_STACK_TRUNCATED && GP_SAVE_AREA > 0)
    how = try_sps_above (scan, frame, pc, sp, link);
  if (how == GP_STACK_TRUNCATED)
    return false;
  if (*end < how)
    *end = how;
  return true;
}

bool
gp_scan (struct gp_frame *frame, const struct gp_stack *stack, const struct gp_boundary *target,
    struct gp_scan_budget *budget, enum gp_stack_end *end)
{
  struct scan scan = { .stack = stack, .target = target, .budget = budget };
  scan.bp = gp_knows (frame, GP_REG_BP) ? frame->r[GP_REG_BP] : 0;
  uintptr_t sp = frame->r[GP_REG_SP], limit = target != NULL ? target->sp : UINTPTR_MAX;
  uintptr_t in_register =
      frame->exact && gp_knows (frame, GP_REG_RA) && GP_REG_RA != GP_REG_PC ? frame->r[GP_REG_RA] : 0;
  if (try_candidate (&scan, frame, gp_arch_code_address (in_register), sp, end))
    return true;
  for (uintptr_t slot = (sp + 7) & ~(uintptr_t) 7; slot < limit && budget->words > 0; slot += sizeof slot) {
    uintptr_t word;
    if (!gp_stack_read (stack, slot, &word))
      return false;
    budget->words--;
    if (try_candidate (&scan, frame, gp_arch_code_address (word), slot + sizeof slot, end))
      return true;
  }
  return false;
}
