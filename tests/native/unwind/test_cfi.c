/* SPDX-License-Identifier: MIT */
/* test_cfi.c: finding FDEs, running their programs, evaluating expressions; on good and on corrupt bytes.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include "shim/signal/cfi_cache.h"
#include "shim/signal/cfi_expression.h"
#include "shim/signal/cfi_program.h"
#include "walk.h"

#include <pthread.h>

enum
{
  LEAF = 0x100,
  MIDDLE = 0x200,
  ROOT = 0x400,
  FIRST_BREG = OP_BREG0
};

static struct gp_code
image_code (void)
{
  struct gp_code code;
  CHECK (gp_modules_find (at_code (0), &code));
  return code;
}

static void
modules_are_found_with_their_segments (void)
{
  struct gp_code code;
  image_open ();
  image_root (ROOT, ROOT + 8);
  image_finish ();
  CHECK (gp_modules_find (at_code (IMAGE_CODE_BYTES - 1), &code));
  CHECK_EQUAL (code.start, at_code (0));
  CHECK_EQUAL (code.end, at_code (IMAGE_CODE_BYTES));
  CHECK_EQUAL (code.lo, g_image.memory + IMAGE_CFI);
  CHECK_EQUAL (code.hi, g_image.memory + IMAGE_BYTES);
  CHECK (!gp_modules_find (at_code (IMAGE_CODE_BYTES), &code)); /* not executable */
  CHECK (!gp_modules_find (at_code (IMAGE_BYTES), &code));
  CHECK (gp_modules_readable (&code, (uintptr_t) g_image.memory + IMAGE_BYTES - 8));
  CHECK (!gp_modules_readable (&code, (uintptr_t) g_image.memory + IMAGE_BYTES - 7));
}

static void
the_fde_of_a_pc_is_found (void)
{
  struct gp_fde fde;
  image_open ();
  for (uintptr_t i = 1; i <= IMAGE_FUNCTIONS; i++)
    image_function (i * 0x40, i * 0x40 + 0x30, 2, false);
  image_finish ();
  struct gp_code code = image_code ();
  for (uintptr_t i = 1; i <= IMAGE_FUNCTIONS; i++) {
    CHECK (gp_cfi_find (at_code (i * 0x40), &code, &fde));
    CHECK_EQUAL (fde.start, at_code (i * 0x40));
    CHECK (gp_cfi_find (at_code (i * 0x40 + 0x2f), &code, &fde));
    CHECK_EQUAL (fde.end, at_code (i * 0x40 + 0x30));
    /* between functions: the stretch without */
    CHECK (!gp_cfi_find (at_code (i * 0x40 + 0x30), &code, &fde));
    CHECK_EQUAL (fde.start, at_code (i * 0x40 + 0x30));
    CHECK_EQUAL (fde.end, i < IMAGE_FUNCTIONS ? at_code (i * 0x40 + 0x40) : at_code (IMAGE_CODE_BYTES));
  }
  CHECK (!gp_cfi_find (at_code (0x3f), &code, &fde));
  CHECK_EQUAL (fde.start, at_code (0));
  CHECK_EQUAL (fde.end, at_code (0x40));
}

/* The row at offset into a function of 0x200 bytes with this program. */
static bool
row_at (const void *program, size_t n, uintptr_t offset, struct gp_row *row)
{
  struct gp_fde fde;
  image_open ();
  image_fde (LEAF, LEAF + 0x200, program, n);
  image_finish ();
  struct gp_code code = image_code ();
  return gp_cfi_find (at_code (LEAF + offset), &code, &fde) && gp_cfi_run (&fde, at_code (LEAF + offset), row);
}

static void
programs_run_up_to_the_pc (void)
{
  struct gp_row row;
  const uint8_t program[] = {
    CFA_ADVANCE_LOC | 4,
    CFA_DEF_CFA_OFFSET,
    32,
    CFA_OFFSET | 3,
    4,
    CFA_REMEMBER_STATE,
    CFA_ADVANCE_LOC1,
    0x80,
    CFA_DEF_CFA_REGISTER,
    6,
    CFA_RESTORE | 3,
    CFA_ADVANCE_LOC2,
    0x10,
    0x00,
    CFA_RESTORE_STATE,
    CFA_ADVANCE_LOC4,
    0x20,
    0,
    0,
    0,
    CFA_DEF_CFA,
    3,
    0x80,
    0x01,
    CFA_VAL_OFFSET,
    4,
    2,
    CFA_REGISTER,
    5,
    6,
    CFA_ADVANCE_LOC | 1,
    CFA_DEF_CFA_SF,
    2,
    0x7e,
    CFA_OFFSET_EXTENDED_SF,
    3,
    0x02,
    CFA_UNDEFINED,
    4,
    CFA_SAME_VALUE,
    5,
    CFA_ADVANCE_LOC | 1,
    CFA_DEF_CFA_OFFSET_SF,
    0x7c,
    CFA_GNU_NEGATIVE_OFFSET_EXTENDED,
    3,
    1,
    CFA_GNU_ARGS_SIZE,
    16,
  };
  CHECK (row_at (program, sizeof program, 3, &row));
  CHECK_EQUAL (row.start, at_code (LEAF));
  CHECK_EQUAL (row.end, at_code (LEAF + 4));
  CHECK_EQUAL (row.cfa_register, GP_REG_SP);
  CHECK_EQUAL (row.rule[3], GP_RULE_SAME);
  for (int again = 0; again < 2; again++) { /* before, and restored */
    CHECK (row_at (program, sizeof program, again ? 0x94 : 4, &row));
    CHECK_EQUAL (row.start, at_code (LEAF + (again ? 0x94 : 4)));
    CHECK_EQUAL (row.end, at_code (LEAF + (again ? 0xb4 : 0x84)));
    CHECK_EQUAL (row.cfa_register, GP_REG_SP);
    CHECK_EQUAL (row.cfa_offset, 32);
    CHECK_EQUAL (row.rule[3], GP_RULE_OFFSET);
    CHECK_EQUAL (row.value[3], -32);
  }
  CHECK (row_at (program, sizeof program, 0x93, &row));
  CHECK_EQUAL (row.cfa_register, 6);
  CHECK_EQUAL (row.cfa_offset, 32);
  CHECK_EQUAL (row.rule[3], GP_RULE_SAME);
  CHECK (row_at (program, sizeof program, 0xb4, &row));
  CHECK_EQUAL (row.cfa_register, 3);
  CHECK_EQUAL (row.cfa_offset, 128);
  CHECK_EQUAL (row.rule[4], GP_RULE_VAL_OFFSET);
  CHECK_EQUAL (row.value[4], -16);
  CHECK_EQUAL (row.rule[5], GP_RULE_REGISTER);
  CHECK_EQUAL (row.value[5], 6);
  CHECK (row_at (program, sizeof program, 0xb5, &row));
  CHECK_EQUAL (row.cfa_register, 2);
  CHECK_EQUAL (row.cfa_offset, 16);
  CHECK_EQUAL (row.value[3], -16);
  CHECK_EQUAL (row.rule[4], GP_RULE_UNDEFINED);
  CHECK_EQUAL (row.rule[5], GP_RULE_SAME);
  CHECK (row_at (program, sizeof program, 0x1ff, &row));
  CHECK_EQUAL (row.cfa_offset, 32);
  CHECK_EQUAL (row.value[3], 8);
  CHECK_EQUAL (row.end, at_code (LEAF + 0x200));
}

static void
impossible_programs_are_refused (void)
{
  struct gp_row row;
  const uint8_t unknown[] = { 0x3e };
  const uint8_t restore_nothing[] = { CFA_RESTORE_STATE };
  const uint8_t remember_often[] = { CFA_REMEMBER_STATE, CFA_REMEMBER_STATE, CFA_REMEMBER_STATE };
  const uint8_t long_expression[] = { CFA_DEF_CFA_EXPRESSION, 0xff, 0x7f, 0 };
  const uint8_t endless_number[] = { CFA_DEF_CFA_OFFSET, 0xff, 0xff }; /* and no padding follows */
  const uint8_t far_register[] = { CFA_DEF_CFA_REGISTER, 99 };
  const uint8_t far_offset[] = { CFA_OFFSET | 3, 0xff, 0xff, 0xff, 0xff, 0x7f };
  const uint8_t vector_register[] = { CFA_OFFSET_EXTENDED, 72, 4 };
  CHECK (!row_at (unknown, sizeof unknown, 0, &row));
  CHECK (!row_at (restore_nothing, sizeof restore_nothing, 0, &row));
  CHECK (!row_at (remember_often, sizeof remember_often, 0, &row));
  CHECK (!row_at (long_expression, sizeof long_expression, 0, &row));
  CHECK (!row_at (endless_number, sizeof endless_number, 0, &row));
  CHECK (!row_at (far_register, sizeof far_register, 0, &row));
  CHECK (!row_at (far_offset, sizeof far_offset, 0, &row));
  CHECK (row_at (vector_register, sizeof vector_register, 0, &row));
}

/* A tampered image: whatever is found, nothing beyond the image is read. */
static void
corrupt_sections_are_refused (void)
{
  struct gp_fde fde;
  struct gp_code code;
  const uint32_t values[] = { 0, 1, 2, 0x7f, 0xff, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff };
  uint8_t *cfi = NULL;
  for (uint32_t offset = 0; offset < IMAGE_HDR_BYTES + 64; offset++)
    for (uint32_t i = 0; i < sizeof values / sizeof values[0]; i++)
      for (uint32_t bytes = 1; bytes <= 4; bytes += 3) {
        image_open ();
        image_function (LEAF, LEAF + 0x80, 4, false);
        image_function (MIDDLE, MIDDLE + 0x80, 4, true);
        image_finish ();
        cfi = g_image.memory + IMAGE_CFI;
        memcpy (cfi + offset, &values[i], bytes);
        code = image_code ();
        for (uintptr_t pc = LEAF; pc <= MIDDLE; pc += MIDDLE - LEAF) {
          struct gp_row row;
          if (gp_cfi_find (at_code (pc), &code, &fde)) {
            CHECK (fde.start <= at_code (pc) && fde.end > at_code (pc));
            gp_cfi_run (&fde, at_code (pc), &row);
          }
        }
      }
  /* an FDE whose CIE says it is longer than the segment, at the segment's very end */
  uint8_t *last = g_image.memory + IMAGE_BYTES - 4;
  memset (last, 0x7f, 4);
  uint8_t *column = cfi + 16;
  put (&column, (uint64_t) (last - cfi), 4);
  code = image_code ();
  CHECK (!gp_cfi_find (at_code (LEAF), &code, &fde));
}

static bool
evaluate (const void *operations, uint8_t n, uintptr_t initial, uintptr_t *value)
{
  uint8_t bytes[256] = { n };
  memcpy (bytes + 1, operations, n);
  struct gp_frame frame = { .known = 1 << 3 | 1 << 7 };
  frame.r[3] = 1000;
  frame.r[7] = at_word (16);
  struct gp_stack stack = whole_stack ();
  return gp_cfi_evaluate (
      (uintptr_t) bytes, (uintptr_t) bytes + 1 + n, &frame, &stack, initial ? &initial : NULL, value);
}

#define EVALUATE(wanted, ...)                                                                                          \
  do {                                                                                                                 \
    const uint8_t code_[] = { __VA_ARGS__ };                                                                           \
    uintptr_t value_ = 0;                                                                                              \
    CHECK (evaluate (code_, sizeof code_, 0, &value_));                                                                \
    CHECK_EQUAL (value_, wanted);                                                                                      \
  } while (0)

#define REFUSE(...)                                                                                                    \
  do {                                                                                                                 \
    const uint8_t code_[] = { __VA_ARGS__ };                                                                           \
    uintptr_t value_;                                                                                                  \
    CHECK (!evaluate (code_, sizeof code_, 0, &value_));                                                               \
  } while (0)

static void
expressions_are_evaluated (void)
{
  stack_open ();
  g_words[17] = 0x1122334455667788;
  EVALUATE (5, OP_LIT0 + 5);
  EVALUATE (0x88, OP_CONST1U, 0x88);
  EVALUATE (-0x78, OP_CONST1S, 0x88);
  EVALUATE (0x8001, OP_CONST2U, 1, 0x80);
  EVALUATE (-0x7fff, OP_CONST2S, 1, 0x80);
  EVALUATE (0x80000001, OP_CONST4U, 1, 0, 0, 0x80);
  EVALUATE (-0x7fffffff, OP_CONST4S, 1, 0, 0, 0x80);
  EVALUATE (0x0807060504030201, OP_CONST8U, 1, 2, 3, 4, 5, 6, 7, 8);
  EVALUATE (0x0807060504030201, OP_ADDR, 1, 2, 3, 4, 5, 6, 7, 8);
  EVALUATE (300, OP_CONSTU, 0xac, 2);
  EVALUATE (-2, OP_CONSTS, 0x7e);
  EVALUATE (999, FIRST_BREG + 3, 0x7f);
  EVALUATE (1001, OP_BREGX, 3, 1);
  EVALUATE (0x1122334455667788, FIRST_BREG + 7, 8, OP_DEREF);
  EVALUATE (0x3344, FIRST_BREG + 7, 12, OP_DEREF_SIZE, 2);
  EVALUATE (8, OP_LIT0 + 4, OP_DUP, OP_PLUS);
  EVALUATE (1, OP_LIT0 + 1, OP_LIT0 + 2, OP_DROP);
  EVALUATE (1, OP_LIT0 + 1, OP_LIT0 + 2, OP_OVER);
  EVALUATE (1, OP_LIT0 + 1, OP_LIT0 + 2, OP_LIT0 + 3, OP_PICK, 2);
  EVALUATE (1, OP_LIT0 + 1, OP_LIT0 + 2, OP_SWAP);
  EVALUATE (2, OP_LIT0 + 1, OP_LIT0 + 2, OP_LIT0 + 3, OP_ROT); /* 3 1 2 */
  EVALUATE (1, OP_LIT0 + 1, OP_LIT0 + 2, OP_LIT0 + 3, OP_ROT, OP_DROP);
  EVALUATE (3, OP_LIT0 + 3, OP_NEG, OP_ABS);
  EVALUATE (-4, OP_LIT0 + 3, OP_NOT);
  EVALUATE (4, OP_LIT0 + 6, OP_LIT0 + 12, OP_AND);
  EVALUATE (14, OP_LIT0 + 6, OP_LIT0 + 12, OP_OR);
  EVALUATE (10, OP_LIT0 + 6, OP_LIT0 + 12, OP_XOR);
  EVALUATE (-2, OP_LIT0 + 6, OP_NEG, OP_LIT0 + 3, OP_DIV);
  EVALUATE (1, OP_LIT0 + 7, OP_LIT0 + 3, OP_MOD);
  EVALUATE (4, OP_LIT0 + 7, OP_LIT0 + 3, OP_MINUS);
  EVALUATE (21, OP_LIT0 + 7, OP_LIT0 + 3, OP_MUL);
  EVALUATE (1007, OP_LIT0 + 7, OP_PLUS_UCONST, 0xe8, 7);
  EVALUATE (56, OP_LIT0 + 7, OP_LIT0 + 3, OP_SHL);
  EVALUATE (1, OP_LIT0 + 15, OP_LIT0 + 3, OP_SHR);
  EVALUATE (-2, OP_LIT0 + 15, OP_NEG, OP_LIT0 + 3, OP_SHRA);
  EVALUATE (1, OP_LIT0 + 1, OP_NEG, OP_LIT0 + 1, OP_LT); /* signed */
  EVALUATE (0, OP_LIT0 + 1, OP_NEG, OP_LIT0 + 1, OP_GE);
  EVALUATE (1, OP_LIT0 + 2, OP_LIT0 + 1, OP_GT);
  EVALUATE (0, OP_LIT0 + 2, OP_LIT0 + 1, OP_LE);
  EVALUATE (0, OP_LIT0 + 2, OP_LIT0 + 1, OP_EQ);
  EVALUATE (1, OP_LIT0 + 2, OP_LIT0 + 1, OP_NE);
  EVALUATE (9, OP_LIT0 + 9, OP_SKIP, 1, 0, OP_DROP, OP_NOP);
  EVALUATE (5, OP_LIT0 + 5, OP_LIT0 + 1, OP_BRA, 1, 0, OP_NEG);
  uintptr_t value;
  CHECK (evaluate ((uint8_t[]) { OP_LIT0 + 8, OP_PLUS }, 2, 100, &value));
  CHECK_EQUAL (value, 108);
}

static void
impossible_expressions_are_refused (void)
{
  stack_open ();
  REFUSE (OP_NOP);  /* leaves no value */
  REFUSE (OP_PLUS); /* has no operands */
  REFUSE (OP_LIT0 + 1, OP_PICK, 1);
  REFUSE (FIRST_BREG + 6, 0); /* not known */
  REFUSE (OP_BREGX, 200, 1, 0);
  REFUSE (OP_LIT0 + 8, OP_DEREF);       /* no stack */
  REFUSE (FIRST_BREG + 7, 1, OP_DEREF); /* not aligned */
  REFUSE (FIRST_BREG + 7, 0, OP_DEREF_SIZE, 9);
  REFUSE (OP_LIT0 + 1, OP_LIT0, OP_DIV);
  REFUSE (OP_LIT0 + 1, OP_LIT0, OP_MOD);
  REFUSE (OP_SKIP, 0xfd, 0xff);           /* for ever */
  REFUSE (OP_LIT0 + 1, OP_SKIP, 0x70, 0); /* out of itself */
  REFUSE (OP_LIT0 + 1, OP_SKIP, 0xf0, 0xff);
  REFUSE (OP_DUP);
  REFUSE (OP_LIT0, OP_DUP, OP_SKIP, 0xfc, 0xff); /* its stack overflows */
  REFUSE (0xff);
  REFUSE (OP_CONST8U, 1, 2); /* cut off */
}

/* As the linkers write it for .plt: the CFA is sp + 8, and 8 more once the stub has pushed. */
static void
plt_expressions_work (void)
{
#if defined(__x86_64__)
  const uint8_t plt[] = { CFA_DEF_CFA_EXPRESSION, 11, OP_BREG0 + 7, 8, OP_BREG0 + 16, 0, OP_LIT0 + 15, OP_AND,
    OP_LIT0 + 11, OP_GE, OP_LIT0 + 3, OP_SHL, OP_PLUS };
  for (uintptr_t pc = MIDDLE; pc < MIDDLE + 16; pc++) {
    image_open ();
    image_fde (MIDDLE, MIDDLE + 0x40, plt, sizeof plt);
    image_root (ROOT, ROOT + 0x80);
    image_finish ();
    stack_open ();
    stack_frame (pc % 16 < 11 ? 1 : 2, at_code (ROOT + 0x10));
    walk_from (at_code (pc), 0, NULL, 0, NULL);
    CHECK_FRAMES (GP_STACK_CFI, at_code (pc), at_code (ROOT + 0x10));
  }
#endif
}

/* A register that the quick way does not carry along: the walk is made again, with all of them. */
static void
callee_saved_registers_may_hold_the_cfa (void)
{
#if defined(__x86_64__)
  const uint8_t by_bx[] = { CFA_DEF_CFA, 3, 16 }; /* as in glibc's _dl_runtime_resolve */
  image_open ();
  image_function (LEAF, LEAF + 0x80, 4, false);
  const uint8_t saves_bx[] = { CFA_DEF_CFA_OFFSET, 32, CFA_OFFSET | 3, 2 };
  image_fde (MIDDLE, MIDDLE + 0x80, saves_bx, sizeof saves_bx);
  image_fde (MIDDLE + 0x80, MIDDLE + 0x100, by_bx, sizeof by_bx);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  stack_frame (4, at_code (MIDDLE + 0x10));
  stack_frame (4, at_code (MIDDLE + 0x90));
  g_words[g_top - 2] = at_word (100); /* bx */
  g_words[101] = at_code (ROOT + 0x10);
  ucontext_t context = { 0 };
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = at_word (16), .context = &context };
  struct gp_stack stack = whole_stack ();
  gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (MIDDLE + 0x10), at_code (MIDDLE + 0x90), at_code (ROOT + 0x10));
#endif
}

/* GCC's way to realign a stack: the CFA comes from what bp points at. */
static void
realigned_stacks_are_walked (void)
{
#if defined(__x86_64__)
  const uint8_t realigned[] = { CFA_DEF_CFA_EXPRESSION, 3, OP_BREG0 + 6, 0x78, OP_DEREF, CFA_EXPRESSION, 6, 2,
    OP_BREG0 + 6, 0 };
  image_open ();
  image_fde (LEAF, LEAF + 0x80, realigned, sizeof realigned);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  g_words[39] = at_word (60); /* bp - 8 */
  g_words[59] = at_code (ROOT + 0x10);
  walk_from (at_code (LEAF), at_word (40), NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (ROOT + 0x10));
#endif
}

/* Rules that no compiler uses for its own functions, but hand-written CFI does: register 3 has the return address, the
 * caller's sp and bp are computed. */
static void
rare_rules_are_applied (void)
{
  const uint8_t rare[] = { CFA_DEF_CFA_OFFSET, 64, CFA_REGISTER, GP_REG_RA, 3, CFA_VAL_EXPRESSION, GP_REG_SP, 4,
    OP_BREGX, GP_REG_SP, 0x80, 1, CFA_VAL_OFFSET, GP_REG_BP, 2 };
#if defined(__x86_64__)
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 6, 2, CFA_DEF_CFA_REGISTER, 6 };
#else
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 29, 2, CFA_OFFSET | 30, 1, CFA_DEF_CFA_REGISTER, 29 };
#endif
  ucontext_t context = { 0 };
  image_open ();
  image_fde (LEAF, LEAF + 0x80, rare, sizeof rare);
  image_fde (MIDDLE, MIDDLE + 0x80, framed, sizeof framed);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RBX] = (greg_t) at_code (MIDDLE + 0x10);
#else
  context.uc_mcontext.regs[3] = at_code (MIDDLE + 0x10);
#endif
  /* CFA - 16 is the caller's bp, sp + 128 its sp, at word 32 */
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = at_word (16), .context = &context };
  struct gp_stack stack = whole_stack ();
  struct gp_boundary b[] = { { .pc = at_code (MIDDLE), .sp = at_word (32), .label = 2 } };
  g_words[22] = 0;
  g_words[23] = at_code (ROOT + 0x10);
  gp_unwind (&regs, &stack, b, 1, NULL, g_frames, FRAMES_MAX, &g_result);
  /* MIDDLE's CFA, by bp, lies below its sp: no frame can do that */
  CHECK_EQUAL (g_frames[1], LABEL (2));
  CHECK_EQUAL (g_frames[2], at_code (MIDDLE + 0x10));
  CHECK_EQUAL (g_result.end, GP_STACK_TRUNCATED);
}

static void
authentication_codes_are_stripped (void)
{
#if defined(__aarch64__)
  const uint8_t signs[] = { CFA_AARCH64_NEGATE_RA_STATE, CFA_DEF_CFA_OFFSET, 32, CFA_OFFSET | 30, 1 };
  image_open ();
  image_fde (LEAF, LEAF + 0x80, signs, sizeof signs);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  stack_frame (4, at_code (ROOT + 0x10) | 0x003a000000000000);
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (ROOT + 0x10));
#endif
}

/* A leaf that has not saved anything yet: its caller is in lr, and has the same sp. */
static void
a_leaf_may_return_by_register (void)
{
#if defined(__aarch64__)
  image_open ();
  image_fde (LEAF, LEAF + 0x80, "", 0);
  image_function (MIDDLE, MIDDLE + 0x80, 4, false);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  stack_frame (4, at_code (ROOT + 0x10));
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = at_word (16), .lr = at_code (MIDDLE + 0x10) };
  struct gp_stack stack = whole_stack ();
  struct gp_boundary b[] = { { .pc = at_code (MIDDLE), .sp = at_word (16), .label = 2 } };
  gp_unwind (&regs, &stack, b, 1, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), LABEL (2), at_code (MIDDLE + 0x10), at_code (ROOT + 0x10));
  regs.pc = at_code (LEAF);
  regs.lr = at_code (LEAF); /* its own caller for ever */
  gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_EQUAL (g_result.end, GP_STACK_TRUNCATED);
#endif
}

static void
blocks_and_areas_share_a_rule (void)
{
  atomic_fetch_add (&g_modules_epoch, 1);
  gp_cache_remember (0x5010, false, 0x5000, 0x5040, 77);
  CHECK_EQUAL (gp_cache_recall (0x503f, false), 77);
  CHECK_EQUAL (gp_cache_recall (0x503f, true), 77);
  CHECK_EQUAL (gp_cache_recall (0x5040, false), 0);
  gp_cache_remember (0x6010, true, 0x6001, 0x6040, 78); /* one byte short */
  CHECK_EQUAL (gp_cache_recall (0x6010, false), 78);
  CHECK_EQUAL (gp_cache_recall (0x6011, false), 0);
  gp_cache_remember (0x8010, true, 0x8000, 0x8400, 79);
  CHECK_EQUAL (gp_cache_recall (0x83ff, true), 79);
  CHECK_EQUAL (gp_cache_recall (0x8010, false), 0); /* return addresses keep to their own line */
  gp_cache_remember (0x9010, true, 0x9000, 0x93ff, 80);
  CHECK_EQUAL (gp_cache_recall (0x903f, true), 80);
  CHECK_EQUAL (gp_cache_recall (0x9040, true), 0);
  atomic_fetch_add (&g_modules_epoch, 1);
  CHECK_EQUAL (gp_cache_recall (0x5010, false), 0);
  CHECK_EQUAL (gp_cache_recall (0x8010, true), 0);
}

static _Atomic unsigned g_wrong;

static void *
use_the_cache (void *seed)
{
  /* two pcs of one block, one way: writers meet in the same two words */
  for (uint64_t i = 0; i < 2000000; i++) {
    uintptr_t pc = 0x7000 + 3 * ((i * 7 + (uintptr_t) seed) % 2);
    uint64_t data = gp_cache_recall (pc, false);
    if (data != 0 && data >> 1 != pc)
      atomic_fetch_add (&g_wrong, 1);
    gp_cache_remember (pc, false, pc, pc + 1, pc << 1 | 1);
  }
  return NULL;
}

static void
rules_do_not_tear (void)
{
  pthread_t threads[4];
  CHECK_EQUAL (gp_cache_way (0x7000), gp_cache_way (0x7003));
  for (uintptr_t i = 0; i < 4; i++)
    pthread_create (&threads[i], NULL, use_the_cache, (void *) i);
  for (int i = 0; i < 4; i++)
    pthread_join (threads[i], NULL);
  CHECK_EQUAL (g_wrong, 0);
}

int
main (int argc, char **argv)
{
  static const struct check_test tests[] = {
    CHECK_TEST (modules_are_found_with_their_segments),
    CHECK_TEST (the_fde_of_a_pc_is_found),
    CHECK_TEST (programs_run_up_to_the_pc),
    CHECK_TEST (impossible_programs_are_refused),
    CHECK_TEST (corrupt_sections_are_refused),
    CHECK_TEST (expressions_are_evaluated),
    CHECK_TEST (impossible_expressions_are_refused),
    CHECK_TEST (plt_expressions_work),
    CHECK_TEST (callee_saved_registers_may_hold_the_cfa),
    CHECK_TEST (realigned_stacks_are_walked),
    CHECK_TEST (rare_rules_are_applied),
    CHECK_TEST (authentication_codes_are_stripped),
    CHECK_TEST (a_leaf_may_return_by_register),
    CHECK_TEST (blocks_and_areas_share_a_rule),
    CHECK_TEST (rules_do_not_tear),
  };
  return check_main (argc, argv, tests, sizeof tests / sizeof tests[0]);
}
