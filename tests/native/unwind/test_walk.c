/* SPDX-License-Identifier: MIT */
/* test_walk.c: the walk on literal stacks: frames, labels at their places, boundaries, roots, and where it must stop.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include "shim/modules/modules.h"
#include "walk.h"

enum
{
  LEAF = 0x100,
  MIDDLE = 0x200,
  OUTER = 0x300,
  ROOT = 0x400, /* functions of 0x80 bytes */
  BARE = 0x800  /* code without CFI */
};

/* LEAF (4 words) called by MIDDLE (6) called by OUTER (8) called by ROOT. */
static void
open_simple (void)
{
  image_open ();
  image_function (LEAF, LEAF + 0x80, 4, false);
  image_function (MIDDLE, MIDDLE + 0x80, 6, false);
  image_function (OUTER, OUTER + 0x80, 8, false);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
}

static uintptr_t g_middle_sp, g_outer_sp, g_root_sp;

static void
fill_simple (void)
{
  g_middle_sp = stack_frame (4, at_code (MIDDLE + 0x10));
  g_outer_sp = stack_frame (6, at_code (OUTER + 0x10));
  g_root_sp = stack_frame (8, at_code (ROOT + 0x10));
}

static void
frames_reach_the_root (void)
{
  open_simple ();
  fill_simple ();
  walk_from (at_code (LEAF + 8), 0, NULL, 0, NULL);
  CHECK_FRAMES (
      GP_STACK_CFI, at_code (LEAF + 8), at_code (MIDDLE + 0x10), at_code (OUTER + 0x10), at_code (ROOT + 0x10));
  /* again, out of the cache */
  walk_from (at_code (LEAF + 8), 0, NULL, 0, NULL);
  CHECK_FRAMES (
      GP_STACK_CFI, at_code (LEAF + 8), at_code (MIDDLE + 0x10), at_code (OUTER + 0x10), at_code (ROOT + 0x10));
}

static void
a_call_may_be_the_last_instruction (void)
{
  open_simple ();
  stack_frame (4, at_code (MIDDLE + 0x80)); /* the first byte behind MIDDLE */
  stack_frame (6, at_code (ROOT + 0x10));
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (MIDDLE + 0x80), at_code (ROOT + 0x10));
}

static void
labels_stand_between_frames (void)
{
  open_simple ();
  fill_simple ();
  struct gp_boundary b[] = {
    { .pc = at_code (OUTER + 0x20), .sp = g_outer_sp, .label = 7 },
    { .pc = at_code (MIDDLE + 0x20), .sp = g_middle_sp, .label = 8 },
    { .pc = at_code (MIDDLE + 0x20), .sp = g_middle_sp, .label = 9 },
  };
  struct gp_boundary root = { .pc = at_code (ROOT + 0x20), .sp = g_root_sp, .label = 5 };
  walk_from (at_code (LEAF + 8), 0, b, 3, &root);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF + 8), LABEL (9), LABEL (8), at_code (MIDDLE + 0x10), LABEL (7),
      at_code (OUTER + 0x10), LABEL (5), at_code (ROOT + 0x10));
  root.label = 0;
  walk_from (at_code (LEAF + 8), 0, b, 1, &root);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF + 8), at_code (MIDDLE + 0x10), LABEL (7), at_code (OUTER + 0x10),
      at_code (ROOT + 0x10));
}

static void
dead_labels_are_passed_over (void)
{
  open_simple ();
  fill_simple ();
  struct gp_boundary b[] = {
    { .pc = at_code (MIDDLE + 0x20), .sp = g_middle_sp, .label = 8 },
    { .pc = at_code (LEAF + 0x20), .sp = at_word (14), .label = 9 }, /* below the leaf's sp */
  };
  walk_from (at_code (LEAF + 8), 0, b, 2, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF + 8), LABEL (8), at_code (MIDDLE + 0x10), at_code (OUTER + 0x10),
      at_code (ROOT + 0x10));
}

/* Between the hook and the call it announces: the label holds, and no frame runs for it yet. */
static void
a_label_may_have_no_frames (void)
{
  open_simple ();
  fill_simple ();
  struct gp_boundary b[] = { { .pc = at_code (LEAF + 4), .sp = at_word (16), .label = 9 } };
  walk_from (at_code (LEAF + 8), 0, b, 1, NULL);
  /* tagged, since only frame 0 is exact without saying so */
  CHECK_FRAMES (GP_STACK_CFI, LABEL (9), EXACT (at_code (LEAF + 8)), at_code (MIDDLE + 0x10), at_code (OUTER + 0x10),
      at_code (ROOT + 0x10));
}

static void
bp_is_restored_where_it_is_needed (void)
{
  image_open ();
#if defined(__x86_64__)
  /* push %rbp; mov %rsp, %rbp */
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 6, 2, CFA_DEF_CFA_REGISTER, 6 };
#else
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 29, 2, CFA_OFFSET | 30, 1, CFA_DEF_CFA_REGISTER, 29 };
#endif
  image_fde (LEAF, LEAF + 0x80, framed, sizeof framed);
  image_function (MIDDLE, MIDDLE + 0x80, 4, false);
  image_fde (OUTER, OUTER + 0x80, framed, sizeof framed);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  /* LEAF has moved sp by an unknown amount; its frame's two words lie at 30 */
  g_words[30] = at_word (52);
  g_words[31] = at_code (MIDDLE + 0x10);
  g_words[35] = at_code (OUTER + 0x10);
  g_words[52] = 0;
  g_words[53] = at_code (ROOT + 0x10);
  walk_from (at_code (LEAF + 0x40), at_word (30), NULL, 0, NULL);
  CHECK_FRAMES (
      GP_STACK_CFI, at_code (LEAF + 0x40), at_code (MIDDLE + 0x10), at_code (OUTER + 0x10), at_code (ROOT + 0x10));
}

static void
code_without_cfi_is_resumed_at_its_boundary (void)
{
  open_simple ();
  stack_frame (5, 0x7654321); /* nothing that a scan could take */
  uintptr_t sp = at_word (g_top);
  stack_frame (6, at_code (ROOT + 0x10));
  struct gp_boundary b[] = { { .pc = at_code (MIDDLE + 0x10), .sp = sp, .label = 3 } };
  walk_from (at_code (BARE), 0, b, 1, NULL);
  CHECK_FRAMES (GP_STACK_BOUNDARY, at_code (BARE), UNKNOWN, LABEL (3), at_code (MIDDLE + 0x10), at_code (ROOT + 0x10));
  struct gp_boundary root = b[0];
  walk_from (at_code (BARE), 0, NULL, 0, &root);
  CHECK_FRAMES (GP_STACK_BOUNDARY, at_code (BARE), UNKNOWN, LABEL (3), at_code (MIDDLE + 0x10), at_code (ROOT + 0x10));
  walk_from (at_code (BARE), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_TRUNCATED, at_code (BARE), TRUNCATED);
}

/* libc's own frames above the thread's function are of no one's interest. */
static void
behind_the_root_nothing_is_missed (void)
{
  open_simple ();
  uintptr_t sp = stack_frame (4, at_code (BARE));
  struct gp_boundary root = { .pc = at_code (BARE), .sp = sp, .label = 3 };
  walk_from (at_code (LEAF), 0, NULL, 0, &root);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), LABEL (3), at_code (BARE));
}

static void
no_cfi_is_read_while_modules_close (void)
{
  open_simple ();
  fill_simple ();
  struct gp_boundary b[] = {
    { .pc = at_code (OUTER + 0x20), .sp = g_outer_sp, .label = 7 },
    { .pc = at_code (MIDDLE + 0x20), .sp = g_middle_sp, .label = 8 },
  };
  struct gp_boundary root = { .pc = at_code (ROOT + 0x20), .sp = g_root_sp, .label = 5 };
  atomic_store (&g_modules_find_object, NULL); /* nobody asks */
  gp_modules_close_begin ();
  walk_from (at_code (LEAF + 8), 0, b, 2, &root);
  atomic_fetch_sub (&g_modules_closing, 1);
  CHECK_FRAMES (GP_STACK_BOUNDARY, at_code (LEAF + 8), UNKNOWN, LABEL (8), at_code (MIDDLE + 0x20), UNKNOWN, LABEL (7),
      at_code (OUTER + 0x20), UNKNOWN, LABEL (5), at_code (ROOT + 0x20));
  CHECK_EQUAL (atomic_load (&g_modules_readers), 0);
}

static void
depth_is_bounded (void)
{
  open_simple ();
  for (int i = 0; i < 100; i++)
    stack_frame (i == 0 ? 4 : 6, at_code (MIDDLE + 0x10));
  struct gp_boundary b[] = { { .pc = at_code (ROOT), .sp = at_word (STACK_WORDS - 8), .label = 3 } };
  walk_from (at_code (LEAF), 0, b, 1, NULL);
  CHECK_EQUAL (g_result.depth, FRAMES_MAX);
  CHECK_EQUAL (g_result.end, GP_STACK_TRUNCATED);
  CHECK_EQUAL (g_frames[FRAMES_MAX - 2], at_code (MIDDLE + 0x10));
  CHECK_EQUAL (g_frames[FRAMES_MAX - 1], TRUNCATED);
  CHECK_EQUAL (g_frames[FRAMES_MAX], 0);
}

static void
an_sp_elsewhere_gives_the_leaf_only (void)
{
  open_simple ();
  fill_simple ();
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = 0x1000 };
  struct gp_stack stack = whole_stack ();
  gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_LEAF_ONLY, at_code (LEAF));
  /* a coroutine of the host's, within an element */
  struct gp_boundary b[] = { { .pc = at_code (MIDDLE + 0x20), .sp = g_middle_sp, .label = 8 } };
  gp_unwind (&regs, &stack, b, 1, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_BOUNDARY, at_code (LEAF), UNKNOWN, LABEL (8), at_code (MIDDLE + 0x20), at_code (OUTER + 0x10),
      at_code (ROOT + 0x10));
}

static void
stack_is_read_within_its_bounds (void)
{
  open_simple ();
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = at_word (16) };
  struct gp_stack stack = { .lo = at_word (16), .hi = at_word (19) }; /* the return address lies just outside */
  g_words[19] = at_code (ROOT + 0x10);
  gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_TRUNCATED, at_code (LEAF), TRUNCATED);
  stack.hi = at_word (20);
  gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (ROOT + 0x10));
}

/* A function whose frame takes no room would be its own caller for ever. */
static void
a_walk_that_does_not_rise_ends (void)
{
  image_open ();
#if defined(__x86_64__)
  const uint8_t program[] = { CFA_DEF_CFA_OFFSET, 0, CFA_OFFSET_EXTENDED_SF, 16, 0x7f };
#else
  const uint8_t program[] = { CFA_OFFSET_EXTENDED_SF, 30, 0x7f };
#endif
  image_fde (LEAF, LEAF + 0x80, program, sizeof program);
  image_finish ();
  stack_open ();
  g_words[17] = at_code (LEAF + 0x10);
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_EQUAL (g_result.end, GP_STACK_TRUNCATED);
  CHECK (g_result.depth <= 3);
}

/* A host's handler on an alternate stack, interrupted by us: kernel's frame, then the thread's own stack, whose pc is
 * exact. Labels are compared on that stack only. */
static void
signal_frames_lead_back_to_the_stack (void)
{
  image_open ();
  image_function (LEAF, LEAF + 0x80, 4, false);
  image_function (MIDDLE, MIDDLE + 0x80, 6, false);
  image_root (ROOT, ROOT + 0x80);
  /* the interrupted registers lie 8 and 16 bytes above sp */
#if defined(__x86_64__)
  const uint8_t kernel[] = { CFA_DEF_CFA_EXPRESSION, 3, OP_BREG0 + 7, 8, OP_DEREF, CFA_EXPRESSION, 16, 2, OP_BREG0 + 7,
    16, CFA_EXPRESSION, 7, 2, OP_BREG0 + 7, 8 };
#else
  const uint8_t kernel[] = { CFA_DEF_CFA_EXPRESSION, 3, OP_BREG31, 8, OP_DEREF, CFA_EXPRESSION, 30, 2, OP_BREG31, 16,
    CFA_EXPRESSION, 31, 2, OP_BREG31, 8 };
#endif
  image_cie ("zRS", ENTRY_RULES, sizeof ENTRY_RULES);
  image_fde (0x500, 0x580, kernel, sizeof kernel);
  image_finish ();
  stack_open ();
  uintptr_t alternate[8] = { [3] = at_code (0x510), [5] = at_word (16), [6] = at_code (MIDDLE) };
  stack_frame (6, at_code (ROOT + 0x10));
  struct gp_boundary b[] = { { .pc = at_code (ROOT), .sp = at_word (g_top), .label = 4 },
    { .pc = at_code (ROOT), .sp = at_word (15), .label = 6 } };
  struct gp_regs regs = { .pc = at_code (LEAF), .sp = (uintptr_t) alternate };
  struct gp_stack stack = whole_stack ();
  stack.alt_lo = (uintptr_t) alternate;
  stack.alt_hi = (uintptr_t) (alternate + 8);
  gp_unwind (&regs, &stack, b, 2, NULL, g_frames, FRAMES_MAX, &g_result);
  /* MIDDLE was at its first instruction, whose rule looked up one byte before would be another's */
  CHECK_FRAMES (
      GP_STACK_CFI, at_code (LEAF), at_code (0x510), EXACT (at_code (MIDDLE)), LABEL (4), at_code (ROOT + 0x10));
}

/* The kernel's trampoline in the vdso, which says nothing of itself there. */
static void
signal_frames_without_cfi_are_known_by_their_code (void)
{
#if defined(__aarch64__)
  open_simple ();
  const uint32_t trampoline[] = { 0xd2801168, 0xd4000001 };
  memcpy ((void *) at_code (BARE), trampoline, sizeof trampoline);
  stack_frame (4, at_code (BARE));
  uintptr_t registers = at_word (g_top) + 312;
  g_top += 100;
  ((uintptr_t *) registers)[31] = at_word (g_top);
  ((uintptr_t *) registers)[32] = at_code (MIDDLE);
  stack_frame (6, at_code (ROOT + 0x10));
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (BARE), EXACT (at_code (MIDDLE)), at_code (ROOT + 0x10));
#endif
}

/* Linkers write no CFI for the PLT there. */
static void
stubs_return_by_register (void)
{
#if defined(__aarch64__)
  static const uint32_t stub[] = { 0xd503245f, 0xa9bf7bf0, 0xf0000af0, 0xf947fe11, 0x913fe210, 0xd61f0220 };
  for (uint32_t first = 0; first <= 2; first += 2) /* the PLT's first entry, which saves x30, and another */
    for (uint32_t i = first; i < 6; i++) {
      open_simple ();
      memcpy ((void *) at_code (BARE), (const uint32_t[]) { 0xd503201f, 0xd503201f }, 8);
      memcpy ((void *) at_code (BARE + 4 * first), stub + first, sizeof stub - 4 * first);
      stack_frame (6, at_code (OUTER + 0x10));
      stack_frame (8, at_code (ROOT + 0x10));
      struct gp_regs regs = {
        .pc = at_code (BARE + 4 * i), .sp = at_word (first == 0 && i >= 2 ? 14 : 16), .lr = at_code (MIDDLE + 0x10)
      };
      struct gp_stack stack = whole_stack ();
      gp_unwind (&regs, &stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &g_result);
      CHECK_FRAMES (GP_STACK_CFI, regs.pc, at_code (MIDDLE + 0x10), at_code (OUTER + 0x10), at_code (ROOT + 0x10));
    }
#endif
}

static void
rules_end_when_code_goes_away (void)
{
  open_simple ();
  stack_frame (4, at_code (ROOT + 0x10));
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (ROOT + 0x10));
  image_open (); /* another module, same place */
  image_function (LEAF, LEAF + 0x80, 8, false);
  image_root (ROOT, ROOT + 0x80);
  image_finish ();
  stack_open ();
  stack_frame (8, at_code (ROOT + 0x10));
  walk_from (at_code (LEAF), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_CFI, at_code (LEAF), at_code (ROOT + 0x10));
}

int
main (int argc, char **argv)
{
  static const struct check_test tests[] = {
    CHECK_TEST (frames_reach_the_root),
    CHECK_TEST (a_call_may_be_the_last_instruction),
    CHECK_TEST (labels_stand_between_frames),
    CHECK_TEST (dead_labels_are_passed_over),
    CHECK_TEST (a_label_may_have_no_frames),
    CHECK_TEST (bp_is_restored_where_it_is_needed),
    CHECK_TEST (code_without_cfi_is_resumed_at_its_boundary),
    CHECK_TEST (behind_the_root_nothing_is_missed),
    CHECK_TEST (no_cfi_is_read_while_modules_close),
    CHECK_TEST (depth_is_bounded),
    CHECK_TEST (an_sp_elsewhere_gives_the_leaf_only),
    CHECK_TEST (stack_is_read_within_its_bounds),
    CHECK_TEST (a_walk_that_does_not_rise_ends),
    CHECK_TEST (signal_frames_lead_back_to_the_stack),
    CHECK_TEST (signal_frames_without_cfi_are_known_by_their_code),
    CHECK_TEST (stubs_return_by_register),
    CHECK_TEST (rules_end_when_code_goes_away),
  };
  return check_main (argc, argv, tests, sizeof tests / sizeof tests[0]);
}
