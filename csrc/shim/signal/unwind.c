/* SPDX-License-Identifier: MIT */
/* unwind.c: the walk from the leaf to the root.
 *
 * CFI steps are made as far as they go. Where code has no CFI, a scan finds the caller (unwind_scan.c). Where that
 * fails, the walk resumes at the innermost boundary not yet passed: its frame is known, whatever lies below it.
 *
 * Context: signal.
 */
#define _GNU_SOURCE
#include "shim/signal/unwind.h"

#include "shim/signal/cfi.h"
#include "shim/signal/unwind_scan.h"
#include "shim/signal/module_lookup.h"

enum
{
  EXPECTED = 64 /* frames of the last stack that are prefetched */
};

static const uint64_t TAGGED = (uint64_t) 1 << 63;

struct walk
{
  struct gp_frame frame;
  struct gp_stack stack;
  const struct gp_boundary *boundaries;
  uint32_t inner;                 /* boundaries[inner - 1] is the innermost not yet passed */
  const struct gp_boundary *root; /* NULL: none, or passed */
  bool rooted;                    /* root was passed: only libc's thread start is missing */
  bool placed;                    /* sp has been on the thread's own stack */
  bool crossed;                   /* a gap was crossed: a repetition does not recover the registers lost there */
  struct gp_scan_budget budget;
  uint64_t *frames;
  uint32_t max;
  struct gp_walk_result *result;
};

static void
emit (struct walk *walk, uint64_t word)
{
  if (walk->result->depth < walk->max)
    walk->frames[walk->result->depth++] = word;
}

static void
emit_tagged (struct walk *walk, enum gp_frame_tag tag, uint64_t operand)
{
  emit (walk, TAGGED | (uint64_t) tag << 56 | operand);
}

/* The stack counts as its least trusted part. */
static void
degrade (struct walk *walk, enum gp_stack_end end)
{
  if (walk->result->end < end)
    walk->result->end = end;
}

static const struct gp_boundary *
next_boundary (const struct walk *walk)
{
  return walk->inner > 0 ? &walk->boundaries[walk->inner - 1] : walk->root;
}

static void
pass_boundary (struct walk *walk)
{
  const struct gp_boundary *passed = next_boundary (walk);
  if (passed->label != 0)
    emit_tagged (walk, GP_FRAME_LABEL, passed->label);
  if (walk->inner > 0) {
    walk->inner--;
  } else {
    walk->root = NULL;
    walk->rooted = true;
  }
}

static bool
on_stack (const struct walk *walk, uintptr_t sp)
{
  return sp >= walk->stack.lo && sp < walk->stack.hi;
}

static bool
on_alternate_stack (const struct walk *walk, uintptr_t sp)
{
  return sp >= walk->stack.alt_lo && sp < walk->stack.alt_hi;
}

/* Drops boundaries whose function has returned without a post hook. Where sp is on another stack, none can be told. */
static void
drop_dead (struct walk *walk)
{
  uintptr_t sp = walk->frame.r[GP_REG_SP];
  if (!on_stack (walk, sp))
    return;
  walk->placed = true;
  while (walk->inner > 0 && walk->boundaries[walk->inner - 1].sp < sp)
    walk->inner--;
}

/* Marks the labels that end below the frame with this sp and CFA. */
static void
pass_boundaries_below (struct walk *walk, uintptr_t sp, uintptr_t cfa)
{
  if (!on_stack (walk, sp))
    return;
  for (const struct gp_boundary *next; (next = next_boundary (walk)) != NULL && next->sp < cfa;)
    pass_boundary (walk);
}

static void
resume_at (struct walk *walk, const struct gp_boundary *boundary)
{
  walk->frame.r[GP_REG_PC] = boundary->pc;
  walk->frame.r[GP_REG_SP] = boundary->sp;
  walk->frame.r[GP_REG_BP] = boundary->bp;
  walk->frame.known = (uint64_t) 1 << GP_REG_PC | (uint64_t) 1 << GP_REG_SP | (uint64_t) 1 << GP_REG_BP;
  walk->frame.exact = false;
}

/* Takes bp from the boundary where a scan could not find it. */
static void
learn_bp (struct walk *walk)
{
  const struct gp_boundary *next = next_boundary (walk);
  if (next != NULL && next->sp == walk->frame.r[GP_REG_SP] && !gp_knows (&walk->frame, GP_REG_BP)) {
    walk->frame.r[GP_REG_BP] = next->bp;
    walk->frame.known |= (uint64_t) 1 << GP_REG_BP;
  }
}

/* Continues at the next boundary, behind code that cannot be crossed. False: there is none. */
static bool
resume (struct walk *walk)
{
  const struct gp_boundary *next = next_boundary (walk);
  while (next != NULL && !on_stack (walk, next->sp)) {
    pass_boundary (walk);
    next = next_boundary (walk);
  }
  if (next == NULL)
    return false;
  emit_tagged (walk, GP_FRAME_UNKNOWN, 0);
  degrade (walk, GP_STACK_BOUNDARY);
  walk->crossed = true;
  resume_at (walk, next);
  pass_boundary (walk);
  return true;
}

static void
emit_pc (struct walk *walk, uintptr_t pc, bool exact)
{
  if (exact && walk->result->depth > 0)
    emit_tagged (walk, GP_FRAME_EXACT, pc);
  else
    emit (walk, pc & ~TAGGED);
}

static bool
cross_by_scan (struct walk *walk)
{
  walk->crossed = true;
  return gp_scan (&walk->frame, &walk->stack, next_boundary (walk), &walk->budget, &walk->result->end);
}

/* Emits one frame and steps to its caller. False at the end of the walk; *step holds the reason. */
static bool
walk_frame (struct walk *walk, bool readable, bool quick, enum gp_step *step)
{
  uintptr_t pc = walk->frame.r[GP_REG_PC], sp = walk->frame.r[GP_REG_SP];
  bool exact = walk->frame.exact;
  if (!walk->placed)
    drop_dead (walk);
  *step = readable ? gp_cfi_step (&walk->frame, &walk->stack, quick) : GP_STEP_NO_CFI;
  if (*step == GP_STEP_UNKNOWN_REGISTER && quick && !walk->crossed)
    return false;
  learn_bp (walk);
  /* The CFA may not be known, but it is no lower than this. */
  pass_boundaries_below (walk, sp, *step == GP_STEP_OK ? walk->frame.r[GP_REG_SP] : sp + (exact ? GP_CALL_PUSHES : 1));
  emit_pc (walk, pc, exact);
  if (*step == GP_STEP_OK && walk->frame.r[GP_REG_PC] != 0)
    return true;
  if (*step == GP_STEP_OK || *step == GP_STEP_END) {
    *step = GP_STEP_END;
    return resume (walk);
  }
  return (readable && cross_by_scan (walk)) || resume (walk);
}

/* All frames. False: the walk must be repeated without the cache, whose rules carry too few registers along. */
static bool
walk_all (struct walk *walk, bool readable, bool quick)
{
  enum gp_step step;
  while (walk_frame (walk, readable, quick, &step))
    if (walk->result->depth == walk->max) {
      step = GP_STEP_BAD;
      walk->rooted = false;
      break;
    }
  if (step == GP_STEP_UNKNOWN_REGISTER && quick && !walk->crossed)
    return false;
  if (step != GP_STEP_END && !walk->rooted) {
    if (walk->result->depth == walk->max)
      walk->result->depth--;
    emit_tagged (walk, GP_FRAME_TRUNCATED, 0);
    degrade (walk, GP_STACK_TRUNCATED);
  }
  return true;
}

static void
set_leaf (struct gp_frame *frame, const struct gp_regs *regs)
{
  frame->known =
      (uint64_t) 1 << GP_REG_PC | (uint64_t) 1 << GP_REG_SP | (uint64_t) 1 << GP_REG_BP | (uint64_t) 1 << GP_REG_RA;
  if (regs->context != NULL) {
    gp_arch_context (regs->context, frame->r);
    frame->known = ((uint64_t) 1 << GP_REGS) - 1;
  }
#if defined(__aarch64__)
  frame->r[GP_REG_RA] = regs->lr;
#endif
  frame->r[GP_REG_PC] = regs->pc;
  frame->r[GP_REG_SP] = regs->sp;
  frame->r[GP_REG_BP] = regs->bp;
  frame->exact = true;
}

void
gp_unwind (const struct gp_regs *regs, const struct gp_stack *stack, const struct gp_boundary *boundaries, uint32_t n,
    const struct gp_boundary *root, uint64_t *frames, uint32_t max, struct gp_walk_result *result)
{
  struct walk walk = { .stack = *stack, .boundaries = boundaries, .frames = frames, .max = max, .result = result };
  gp_cfi_expect (regs->pc, frames, max < EXPECTED ? max : EXPECTED);
  bool readable = gp_modules_enter ();
  /* Below the leaf's red zone nothing is live, and memory may not be mapped. */
  uintptr_t lowest = (regs->sp - GP_RED_ZONE) & ~(uintptr_t) 7;
  if (on_stack (&walk, regs->sp) && walk.stack.lo < lowest)
    walk.stack.lo = lowest;
  for (int quick = 1; quick >= 0; quick--) {
    *result = (struct gp_walk_result) { .depth = 0, .end = GP_STACK_CFI };
    set_leaf (&walk.frame, regs);
    walk.inner = n;
    walk.root = root;
    walk.rooted = walk.placed = walk.crossed = false;
    walk.budget = GP_SCAN_BUDGET;
    bool inside = on_stack (&walk, regs->sp) || on_alternate_stack (&walk, regs->sp);
    if (!inside) {
      emit (&walk, regs->pc & ~TAGGED);
      if (!resume (&walk)) {
        degrade (&walk, GP_STACK_LEAF_ONLY);
        break;
      }
    }
    if (walk_all (&walk, readable, quick != 0))
      break;
  }
  if (readable)
    gp_modules_leave ();
}
