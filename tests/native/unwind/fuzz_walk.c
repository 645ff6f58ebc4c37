/* SPDX-License-Identifier: MIT */
/* fuzz_walk.c: whole walks over damaged CFI, code and stacks. An input is a list of patches to a sound image, so that
 * almost every input gets past the first checks; each patch is four bytes: where (two), what, and which part.
 *
 * Built with libFuzzer. Every walk must end, stay within its bounds and write no more frames than there is room for.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include "walk.h"

#include <stdlib.h>

enum
{
  LEAF = 0x100,
  FRAMED = 0x200,
  REALIGNED = 0x300,
  PLT = 0x400,
  ROOT = 0x500,
  SIGNAL = 0x600,
  STATES = 0x700,
  BARE = 0x1000,
  PATCH_BYTES = 4
};

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
make_image (void)
{
  static const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | GP_REG_BP, 2, CFA_OFFSET | GP_REG_RA, 1,
    CFA_DEF_CFA_REGISTER, GP_REG_BP };
  static const uint8_t realigned[] = { CFA_DEF_CFA_EXPRESSION, 4, OP_BREGX, GP_REG_BP, 0x78, OP_DEREF, CFA_EXPRESSION,
    GP_REG_BP, 3, OP_BREGX, GP_REG_BP, 0, CFA_OFFSET | GP_REG_RA, 1 };
  static const uint8_t plt[] = { CFA_DEF_CFA_EXPRESSION, 13, OP_BREGX, GP_REG_SP, 8, OP_BREGX, GP_REG_PC, 0,
    OP_LIT0 + 15, OP_AND, OP_LIT0 + 11, OP_GE, OP_LIT0 + 3, OP_SHL, OP_PLUS, CFA_OFFSET | GP_REG_RA, 1 };
  static const uint8_t kernel[] = { CFA_DEF_CFA_EXPRESSION, 4, OP_BREGX, GP_REG_SP, 8, OP_DEREF, CFA_EXPRESSION,
    GP_REG_RA, 3, OP_BREGX, GP_REG_SP, 16, CFA_VAL_EXPRESSION, 3, 4, OP_BREGX, GP_REG_SP, 16, OP_SKIP, 0, 0 };
  static const uint8_t states[] = { CFA_DEF_CFA_OFFSET, 32, CFA_OFFSET | GP_REG_RA, 1, CFA_REMEMBER_STATE,
    CFA_ADVANCE_LOC | 16, CFA_DEF_CFA_OFFSET, 48, CFA_RESTORE | GP_REG_BP, CFA_ADVANCE_LOC1, 16, CFA_RESTORE_STATE };
  image_open ();
  image_function (LEAF, LEAF + 0x80, 4, true);
  image_fde (FRAMED, FRAMED + 0x80, framed, sizeof framed);
  image_fde (REALIGNED, REALIGNED + 0x80, realigned, sizeof realigned);
  image_fde (PLT, PLT + 0x80, plt, sizeof plt);
  image_root (ROOT, ROOT + 0x80);
  image_cie ("zRS", ENTRY_RULES, sizeof ENTRY_RULES);
  image_fde (SIGNAL, SIGNAL + 0x80, kernel, sizeof kernel);
  image_cie ("zPLR", ENTRY_RULES, sizeof ENTRY_RULES);
  image_fde (STATES, STATES + 0x80, states, sizeof states);
  image_finish ();
}

static void
make_stack (void)
{
  static const uint16_t chain[] = { LEAF, FRAMED, BARE, STATES, LEAF, SIGNAL, PLT, REALIGNED, FRAMED, LEAF, ROOT };
  stack_open ();
  for (uint32_t i = 0; i < sizeof chain / sizeof chain[0]; i++) {
    uint32_t at = 16 + 4 * i;
    g_words[at + 1] = at_word (at + 4);
    g_words[at + 2] = at_word (at + 6);
    g_words[at + 3] = at_code (chain[i] + 0x10);
  }
}

static void
patch (const uint8_t *bytes)
{
  uint32_t where = bytes[0] | (uint32_t) bytes[1] << 8, used = (uint32_t) (g_image.cfi - g_image.memory - IMAGE_CFI);
  switch (bytes[3] % 4) {
    case 0:
      g_image.memory[IMAGE_CFI + where % used] = bytes[2];
      break;
    case 1:
      g_image.memory[IMAGE_CODE + where % 0x2000] = bytes[2];
      break;
    case 2:
      ((uint8_t *) g_words)[where % 1024] = bytes[2];
      break;
    default:
      g_words[where % 128] = where & 0x8000 ? at_word (bytes[2]) : at_code (bytes[2] * 16U);
      break;
  }
}

static void
walk_and_check (uintptr_t pc, const struct gp_boundary *boundaries, uint32_t n, const struct gp_boundary *root)
{
  g_frames[FRAMES_MAX] = 0x5a5a;
  walk_from (pc, at_word (20), boundaries, n, root);
  if (g_result.depth > FRAMES_MAX || g_frames[FRAMES_MAX] != 0x5a5a || g_result.end > GP_STACK_LEAF_ONLY)
    abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const uint16_t leaves[] = { LEAF, FRAMED + 4, REALIGNED, PLT + 12, SIGNAL, STATES + 20, BARE };
  make_image ();
  make_stack ();
  for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES)
    patch (data);
  struct gp_boundary b[] = {
    { .pc = at_code (ROOT + 4), .sp = at_word (60), .bp = at_word (64), .label = 1 },
    { .pc = at_code (LEAF + 4), .sp = at_word (32), .bp = at_word (36), .label = 2 },
  };
  for (uint32_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
    walk_and_check (at_code (leaves[i]), b, 2, NULL);
    walk_and_check (at_code (leaves[i]), NULL, 0, i % 2 ? &b[0] : NULL);
  }
  return 0;
}
