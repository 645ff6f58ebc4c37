/* SPDX-License-Identifier: MIT */
/* cfi_expression.c: DWARF expressions as call frame information uses them (PLT stubs, realigned stacks, signal frames).
 *
 * Context: signal. Bounded by OPERATIONS_MAX; dereferences reach the stack only.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi_expression.h"
#include "shared/dwarf_reader.h"
#include "shim/signal/dwarf_codes.h"

enum
{
  STACK_MAX = 16,
  OPERATIONS_MAX = 256
};

struct evaluation
{
  struct gp_dwarf_reader reader;
  uintptr_t start; /* branches must stay in [start, reader.end] */
  const struct gp_frame *frame;
  const struct gp_stack *stack;
  unsigned depth;
  uintptr_t values[STACK_MAX];
};

static void
push (struct evaluation *e, uintptr_t value)
{
  if (e->depth == STACK_MAX)
    e->reader.bad = true;
  else
    e->values[e->depth++] = value;
}

static uintptr_t
pop (struct evaluation *e)
{
  if (e->depth == 0) {
    e->reader.bad = true;
    return 0;
  }
  return e->values[--e->depth];
}

static void
push_pick (struct evaluation *e, uint64_t index)
{
  if (index >= e->depth)
    e->reader.bad = true;
  else
    push (e, e->values[e->depth - 1 - index]);
}

static void
push_register (struct evaluation *e, uint64_t reg)
{
  int64_t offset = gp_read_sleb (&e->reader);
  if (!gp_knows (e->frame, reg))
    e->reader.bad = true;
  else
    push (e, e->frame->r[reg] + (uintptr_t) offset);
}

static void
push_dereferenced (struct evaluation *e, unsigned bytes)
{
  uintptr_t at = pop (e), word = 0;
  unsigned inside = at % sizeof word;
  if (bytes == 0 || inside + bytes > sizeof word || !gp_stack_read (e->stack, at - inside, &word)) {
    e->reader.bad = true;
    return;
  }
  word >>= 8 * inside;
  push (e, bytes == sizeof word ? word : word & (((uintptr_t) 1 << (8 * bytes)) - 1));
}

static void
branch (struct evaluation *e, bool taken)
{
  int64_t offset = (int16_t) gp_read_fixed (&e->reader, 2);
  uintptr_t to = e->reader.at + (uintptr_t) offset;
  if (!taken)
    return;
  if (to < e->start || to > e->reader.end)
    e->reader.bad = true;
  else
    e->reader.at = to;
}

static uintptr_t
binary (struct evaluation *e, uint8_t op, uintptr_t a, uintptr_t b)
{
  intptr_t sa = (intptr_t) a, sb = (intptr_t) b;
  switch (op) {
    case OP_AND:
      return a & b;
    case OP_OR:
      return a | b;
    case OP_XOR:
      return a ^ b;
    case OP_PLUS:
      return a + b;
    case OP_MINUS:
      return a - b;
    case OP_MUL:
      return a * b;
    case OP_DIV:
      if (b == 0 || (sa == INTPTR_MIN && sb == -1))
        break;
      return (uintptr_t) (sa / sb);
    case OP_MOD:
      if (b == 0)
        break;
      return a % b;
    case OP_SHL:
      return b < 64 ? a << b : 0;
    case OP_SHR:
      return b < 64 ? a >> b : 0;
    case OP_SHRA:
      return (uintptr_t) (sa >> (b < 64 ? b : 63));
    case OP_EQ:
      return sa == sb;
    case OP_NE:
      return sa != sb;
    case OP_GE:
      return sa >= sb;
    case OP_GT:
      return sa > sb;
    case OP_LE:
      return sa <= sb;
    case OP_LT:
      return sa < sb;
  }
  e->reader.bad = true;
  return 0;
}

static void
shuffle (struct evaluation *e, uint8_t op)
{
  uintptr_t a = pop (e), b = pop (e);
  if (op == OP_SWAP) {
    push (e, a);
    push (e, b);
  } else { /* OP_ROT: the top goes below the next two */
    uintptr_t c = pop (e);
    push (e, a);
    push (e, c);
    push (e, b);
  }
}

static void
run_operation (struct evaluation *e)
{
  struct gp_dwarf_reader *r = &e->reader;
  uint8_t op = (uint8_t) gp_read_fixed (r, 1);
  if (op >= OP_LIT0 && op <= OP_LIT31) {
    push (e, op - OP_LIT0);
    return;
  }
  if (op >= OP_BREG0 && op <= OP_BREG31) {
    push_register (e, op - OP_BREG0);
    return;
  }
  switch (op) {
    case OP_ADDR:
    case OP_CONST8U:
    case OP_CONST8S:
      push (e, gp_read_fixed (r, 8));
      break;
    case OP_CONST1U:
      push (e, gp_read_fixed (r, 1));
      break;
    case OP_CONST1S:
      push (e, (uintptr_t) (intptr_t) (int8_t) gp_read_fixed (r, 1));
      break;
    case OP_CONST2U:
      push (e, gp_read_fixed (r, 2));
      break;
    case OP_CONST2S:
      push (e, (uintptr_t) (intptr_t) (int16_t) gp_read_fixed (r, 2));
      break;
    case OP_CONST4U:
      push (e, gp_read_fixed (r, 4));
      break;
    case OP_CONST4S:
      push (e, (uintptr_t) (intptr_t) (int32_t) gp_read_fixed (r, 4));
      break;
    case OP_CONSTU:
      push (e, gp_read_uleb (r));
      break;
    case OP_CONSTS:
      push (e, (uintptr_t) gp_read_sleb (r));
      break;
    case OP_BREGX:
      push_register (e, gp_read_uleb (r));
      break;
    case OP_DEREF:
      push_dereferenced (e, sizeof (uintptr_t));
      break;
    case OP_DEREF_SIZE:
      push_dereferenced (e, (unsigned) gp_read_fixed (r, 1));
      break;
    case OP_DUP:
      push_pick (e, 0);
      break;
    case OP_OVER:
      push_pick (e, 1);
      break;
    case OP_PICK:
      push_pick (e, gp_read_fixed (r, 1));
      break;
    case OP_DROP:
      pop (e);
      break;
    case OP_SWAP:
    case OP_ROT:
      shuffle (e, op);
      break;
    case OP_ABS: {
      uintptr_t value = pop (e);
      push (e, (intptr_t) value < 0 ? 0 - value : value);
      break;
    }
    case OP_NEG:
      push (e, 0 - pop (e));
      break;
    case OP_NOT:
      push (e, ~pop (e));
      break;
    case OP_PLUS_UCONST:
      push (e, pop (e) + gp_read_uleb (r));
      break;
    case OP_SKIP:
      branch (e, true);
      break;
    case OP_BRA:
      branch (e, pop (e) != 0);
      break;
    case OP_NOP:
      break;
    default: {
      uintptr_t b = pop (e), a = pop (e);
      push (e, binary (e, op, a, b));
      break;
    }
  }
}

bool
gp_cfi_evaluate (uintptr_t at, uintptr_t end, const struct gp_frame *frame, const struct gp_stack *stack,
    const uintptr_t *initial, uintptr_t *value)
{
  struct evaluation e; /* values[] is written before it is read */
  e.reader = (struct gp_dwarf_reader) { .at = at, .end = end };
  e.frame = frame;
  e.stack = stack;
  e.depth = 0;
  uint64_t length = gp_read_uleb (&e.reader);
  if (e.reader.bad || length > end - e.reader.at)
    return false;
  e.start = e.reader.at;
  e.reader.end = e.start + length;
  if (initial != NULL)
    push (&e, *initial);
  for (unsigned n = 0; e.reader.at < e.reader.end && !e.reader.bad; n++) {
    if (n == OPERATIONS_MAX)
      return false;
    run_operation (&e);
  }
  *value = pop (&e);
  return !e.reader.bad;
}
