/* SPDX-License-Identifier: MIT */
/* cfi_program.c: runs the instructions of a CIE and an FDE up to a pc.
 *
 * Context: signal. Bounded by PROGRAM_MAX instructions.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi_program.h"
#include "shared/dwarf_reader.h"
#include "shim/signal/dwarf_codes.h"

enum
{
  PROGRAM_MAX = 16384 /* the largest function of Debian's libraries has some 3,000 */
};

struct machine
{
  const struct gp_fde *fde;
  struct gp_dwarf_reader reader;
  uintptr_t pc, location;
  struct gp_row *row;
  const struct gp_row *initial; /* NULL while the CIE's run */
  struct gp_row remembered[GP_CFI_REMEMBERED];
  unsigned depth;
};

/* Rules of other registers than ours (vector registers) are dropped. */
static void
set_rule (struct machine *m, uint64_t reg, enum gp_rule rule, int64_t value)
{
  if (reg >= GP_REGS)
    return;
  if (value != (int32_t) value) {
    m->reader.bad = true;
    return;
  }
  m->row->rule[reg] = (uint8_t) rule;
  m->row->value[reg] = (int32_t) value;
}

static int64_t
factored (const struct machine *m, uint64_t operand)
{
  return (int64_t) (operand * (uint64_t) m->fde->data_align);
}

/* Skips an expression and returns its offset from the segment's start. */
static int64_t
expression (struct machine *m)
{
  int64_t at = (int64_t) (m->reader.at - m->fde->lo);
  uint64_t length = gp_read_uleb (&m->reader);
  if (m->reader.bad || length > m->reader.end - m->reader.at)
    m->reader.bad = true;
  else
    m->reader.at += length;
  return at;
}

static void
restore (struct machine *m, uint64_t reg)
{
  if (m->initial == NULL)
    m->reader.bad = true;
  else if (reg < GP_REGS)
    set_rule (m, reg, m->initial->rule[reg], m->initial->value[reg]);
}

static void
define_cfa (struct machine *m, uint64_t reg, int64_t offset)
{
  m->row->cfa_expression = false;
  m->row->cfa_register = reg < GP_REGS ? (uint32_t) reg : GP_REGS;
  m->row->cfa_offset = offset;
}

/* False once the location is beyond pc: the row is complete. */
static bool
advance_to (struct machine *m, uintptr_t location)
{
  if (location > m->pc) {
    m->row->end = location;
    return false;
  }
  m->row->start = location;
  m->location = location;
  return true;
}

static bool
advance (struct machine *m, uint64_t delta)
{
  return advance_to (m, m->location + delta * m->fde->code_align);
}

static void
restore_state (struct machine *m)
{
  *m->row = m->remembered[--m->depth];
  m->row->start = m->location;
  m->row->end = m->fde->end;
}

static void
run_register (struct machine *m, uint8_t op, uint64_t reg)
{
  struct gp_dwarf_reader *r = &m->reader;
  switch (op) {
    case CFA_OFFSET_EXTENDED:
      set_rule (m, reg, GP_RULE_OFFSET, factored (m, gp_read_uleb (r)));
      break;
    case CFA_OFFSET_EXTENDED_SF:
      set_rule (m, reg, GP_RULE_OFFSET, factored (m, (uint64_t) gp_read_sleb (r)));
      break;
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
      set_rule (m, reg, GP_RULE_OFFSET, factored (m, 0 - gp_read_uleb (r)));
      break;
    case CFA_VAL_OFFSET:
      set_rule (m, reg, GP_RULE_VAL_OFFSET, factored (m, gp_read_uleb (r)));
      break;
    case CFA_VAL_OFFSET_SF:
      set_rule (m, reg, GP_RULE_VAL_OFFSET, factored (m, (uint64_t) gp_read_sleb (r)));
      break;
    case CFA_EXPRESSION:
      set_rule (m, reg, GP_RULE_EXPRESSION, expression (m));
      break;
    case CFA_VAL_EXPRESSION:
      set_rule (m, reg, GP_RULE_VAL_EXPRESSION, expression (m));
      break;
    case CFA_REGISTER:
      set_rule (m, reg, GP_RULE_REGISTER, (int64_t) (gp_read_uleb (r) & 0xffff));
      break;
    case CFA_UNDEFINED:
      set_rule (m, reg, GP_RULE_UNDEFINED, 0);
      break;
    case CFA_SAME_VALUE:
      set_rule (m, reg, GP_RULE_SAME, 0);
      break;
    case CFA_RESTORE_EXTENDED:
      restore (m, reg);
      break;
    case CFA_DEF_CFA:
      define_cfa (m, reg, (int64_t) gp_read_uleb (r));
      break;
    case CFA_DEF_CFA_SF:
      define_cfa (m, reg, factored (m, (uint64_t) gp_read_sleb (r)));
      break;
    default: /* CFA_DEF_CFA_REGISTER */
      define_cfa (m, reg, m->row->cfa_offset);
      break;
  }
}

/* Runs one instruction; false: it advances beyond pc. */
static bool
run_instruction (struct machine *m)
{
  struct gp_dwarf_reader *r = &m->reader;
  uint8_t op = (uint8_t) gp_read_fixed (r, 1);
  switch (op & 0xc0) {
    case CFA_ADVANCE_LOC:
      return advance (m, op & 0x3f);
    case CFA_OFFSET:
      set_rule (m, op & 0x3f, GP_RULE_OFFSET, factored (m, gp_read_uleb (r)));
      return true;
    case CFA_RESTORE:
      restore (m, op & 0x3f);
      return true;
  }
  switch (op) {
    case CFA_NOP:
      return true;
    case CFA_SET_LOC:
      return advance_to (m, gp_read_encoded (r, m->fde->encoding, m->fde->lo));
    case CFA_ADVANCE_LOC1:
      return advance (m, gp_read_fixed (r, 1));
    case CFA_ADVANCE_LOC2:
      return advance (m, gp_read_fixed (r, 2));
    case CFA_ADVANCE_LOC4:
      return advance (m, gp_read_fixed (r, 4));
    case CFA_REMEMBER_STATE:
      if (m->depth == GP_CFI_REMEMBERED)
        r->bad = true;
      else
        m->remembered[m->depth++] = *m->row;
      return true;
    case CFA_RESTORE_STATE:
      if (m->depth == 0)
        r->bad = true;
      else
        restore_state (m);
      return true;
    case CFA_DEF_CFA_OFFSET:
      m->row->cfa_offset = (int64_t) gp_read_uleb (r);
      return true;
    case CFA_DEF_CFA_OFFSET_SF:
      m->row->cfa_offset = factored (m, (uint64_t) gp_read_sleb (r));
      return true;
    case CFA_DEF_CFA_EXPRESSION:
      m->row->cfa_offset = expression (m);
      m->row->cfa_expression = true;
      return true;
    case CFA_GNU_ARGS_SIZE:
      gp_read_uleb (r);
      return true;
#if defined(__aarch64__)
    case CFA_AARCH64_NEGATE_RA_STATE_WITH_PC:
    case CFA_AARCH64_NEGATE_RA_STATE:
      return true; /* addresses are stripped of their authentication code wherever they are read */
#endif
    case CFA_OFFSET_EXTENDED:
    case CFA_OFFSET_EXTENDED_SF:
    case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
    case CFA_EXPRESSION:
    case CFA_VAL_EXPRESSION:
    case CFA_REGISTER:
    case CFA_UNDEFINED:
    case CFA_SAME_VALUE:
    case CFA_RESTORE_EXTENDED:
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_REGISTER:
      run_register (m, op, gp_read_uleb (r));
      return true;
    default:
      r->bad = true;
      return true;
  }
}

static bool
run (struct machine *m)
{
  for (unsigned n = 0; m->reader.at < m->reader.end && !m->reader.bad; n++)
    if (n == PROGRAM_MAX || !run_instruction (m))
      return n < PROGRAM_MAX && !m->reader.bad;
  return !m->reader.bad;
}

bool
gp_cfi_run (const struct gp_fde *fde, uintptr_t pc, struct gp_row *row)
{
  if (fde->ra_column != GP_REG_RA)
    return false;
  *row = (struct gp_row) { .start = fde->start, .end = fde->end, .cfa_register = GP_REGS };
  struct gp_row initial;
  struct machine m; /* remembered[] is written before it is read */
  m.fde = fde;
  m.pc = pc;
  m.location = fde->start;
  m.row = row;
  m.depth = 0;
  m.initial = NULL;
  m.reader = fde->initial;
  if (!run (&m))
    return false;
  initial = *row;
  m.initial = &initial;
  m.reader = fde->program;
  return run (&m) && (row->cfa_expression || row->cfa_register < GP_REGS);
}
