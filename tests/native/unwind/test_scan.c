/* SPDX-License-Identifier: MIT */
/* test_scan.c: scans across code without CFI, with literal machine code and literal stacks: which return addresses are
 * taken for the caller, and which dead ones are not.
 *
 * Context: tests only.
 */
#define _GNU_SOURCE
#include "shim/signal/unwind_call.h"
#include "walk.h"

enum
{
  CALLER = 0x100,
  OTHER = 0x200,
  HELPER = 0x300,
  TAIL = 0x400,
  ROOT = 0x500,
  STUB = 0x600,
  COLD = 0x700,
  BARE = 0x1000,              /* code without CFI */
  SLOT = IMAGE_CFI_BYTES - 64 /* offset into the last segment: what a stub jumps through */
};

#if defined(__x86_64__)
static void
put_relative (uintptr_t at, const void *opcode, size_t n, uintptr_t target)
{
  uint8_t *p = (uint8_t *) at_code (at);
  put_bytes (&p, opcode, n);
  put (&p, target - at - n - 4, 4);
}

/* A call that returns to ra. */
static void
put_call (uintptr_t ra, uintptr_t target)
{
  put_relative (ra - 5, "\xe8", 1, target);
}

static void
put_indirect_call (uintptr_t ra)
{
  memcpy ((void *) at_code (ra - 3), "\xff\x50\x18", 3); /* call *0x18(%rax) */
}

static void
put_jump (uintptr_t at, uintptr_t target)
{
  put_relative (at, "\xe9", 1, target);
}

static void
put_conditional_jump (uintptr_t at, uintptr_t target)
{
  put_relative (at, "\x0f\x84", 2, target);
}

static void
put_table_jump (uintptr_t at)
{
  memcpy ((void *) at_code (at), "\x48\x01\xd0\x3e\xff\xe0", 6); /* add %rdx, %rax; notrack jmp *%rax */
}

static void
put_stub (uintptr_t at)
{
  put_relative (at, "\xf3\x0f\x1e\xfa\xf2\xff\x25", 7, IMAGE_CFI - IMAGE_CODE + SLOT);
}

static void
put_unbound (void)
{
  *(uintptr_t *) (g_image.memory + IMAGE_CFI + SLOT) = at_code (STUB + 11);
}
#else
static void
put_word (uintptr_t at, uint32_t word)
{
  memcpy ((void *) at_code (at), &word, 4);
}

static void
put_call (uintptr_t ra, uintptr_t target)
{
  put_word (ra - 4, 0x94000000 | ((uint32_t) (target - ra + 4) >> 2 & 0x3ffffff));
}

static void
put_indirect_call (uintptr_t ra)
{
  put_word (ra - 4, 0xd63f0100); /* blr x8 */
}

static void
put_jump (uintptr_t at, uintptr_t target)
{
  put_word (at, 0x14000000 | ((uint32_t) (target - at) >> 2 & 0x3ffffff));
}

static void
put_conditional_jump (uintptr_t at, uintptr_t target)
{
  put_word (at, 0xb4000000 | ((uint32_t) (target - at) >> 2 & 0x7ffff) << 5); /* cbz x0 */
}

static void
put_table_jump (uintptr_t at)
{
  put_word (at, 0x8b20c820);     /* add x0, x1, w0, sxtw #2 */
  put_word (at + 4, 0xd61f0000); /* br x0 */
}

static void
put_stub (uintptr_t at)
{
  uintptr_t slot = (uintptr_t) g_image.memory + IMAGE_CFI + SLOT;
  uint32_t pages = (uint32_t) ((slot >> 12) - (at_code (at) >> 12));
  put_word (at, 0xd503245f); /* bti c */
  put_word (at + 4, 0x90000010 | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5);
  put_word (at + 8, 0xf9400211 | (uint32_t) (slot & 4095) / 8 << 10);
  put_word (at + 12, 0xd61f0220);
}

static void
put_unbound (void)
{
  put_word (STUB - 0x20, 0xa9bf7bf0);
  *(uintptr_t *) (g_image.memory + IMAGE_CFI + SLOT) = at_code (STUB - 0x20);
}
#endif

static struct gp_boundary g_boundary;

static void
open_scene (void)
{
  image_open ();
  image_function (CALLER, CALLER + 0x80, 6, false);
  image_function (OTHER, OTHER + 0x80, 4, false);
  image_function (HELPER, HELPER + 0x80, 4, false);
  image_function (TAIL, TAIL + 0x80, 4, false);
  image_root (ROOT, ROOT + 0x80);
  image_function (COLD, COLD + 0x80, 6, false);
  image_finish ();
  put_indirect_call (ROOT + 0x10);
  stack_open ();
}

/* The frames above the code without CFI: CALLER, called by ROOT, where the label begins. */
static void
finish_stack (void)
{
  uintptr_t sp = stack_frame (6, at_code (ROOT + 0x10));
  g_boundary = (struct gp_boundary) { .pc = at_code (ROOT + 0x20), .sp = sp, .label = 1 };
}

static void
scan (void)
{
  atomic_fetch_add (&g_modules_epoch, 1);
  walk_from (at_code (BARE + 0x20), 0, &g_boundary, 1, NULL);
}

#define CHECK_CALLER(end)                                                                                              \
  CHECK_FRAMES (end, at_code (BARE + 0x20), at_code (CALLER + 0x10), LABEL (1), at_code (ROOT + 0x10))
#define CHECK_NO_CALLER()                                                                                              \
  CHECK_FRAMES (GP_STACK_BOUNDARY, at_code (BARE + 0x20), UNKNOWN, LABEL (1), at_code (ROOT + 0x20))

static void
a_direct_caller_is_certain (void)
{
  open_scene ();
  put_call (CALLER + 0x10, BARE);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  scan ();
  CHECK_CALLER (GP_STACK_SCAN);
}

static void
an_indirect_caller_is_a_guess (void)
{
  open_scene ();
  put_indirect_call (CALLER + 0x10);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  scan ();
  CHECK_CALLER (GP_STACK_GUESSED);
}

static void
a_word_behind_no_call_is_not_taken (void)
{
  open_scene ();
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  scan ();
  CHECK_NO_CALLER ();
}

static void
a_caller_that_misses_the_boundary_is_not_taken (void)
{
  open_scene ();
  put_call (CALLER + 0x10, BARE);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  g_boundary.sp += 16;
  scan ();
  CHECK_EQUAL (g_result.end, GP_STACK_BOUNDARY);
}

/* CALLER called OTHER, which called HELPER; both have returned. Then CALLER called BARE, whose locals overlap their
 * frames. The return address into OTHER is still there, and CFI steps from it lead through CALLER to the boundary. This
 * is the example in unwind_scan.c. */
static void
leave_dead_frame (void)
{
  stack_frame (3, at_code (OTHER + 0x10));  /* dead */
  stack_frame (4, at_code (CALLER + 0x10)); /* alive */
  finish_stack ();
}

static void
a_dead_direct_call_is_not_taken (void)
{
  open_scene ();
  put_call (OTHER + 0x10, HELPER);
  put_indirect_call (CALLER + 0x10);
  leave_dead_frame ();
  scan ();
  CHECK_CALLER (GP_STACK_GUESSED);
}

static void
a_dead_indirect_call_below_a_direct_one_is_not_taken (void)
{
  open_scene ();
  put_indirect_call (OTHER + 0x10);
  put_call (CALLER + 0x10, BARE);
  leave_dead_frame ();
  scan ();
  CHECK_CALLER (GP_STACK_SCAN);
}

static void
calls_are_seen_through_stubs (void)
{
  open_scene ();
  put_stub (STUB);
  put_call (CALLER + 0x10, STUB);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  uintptr_t *slot = (uintptr_t *) (g_image.memory + IMAGE_CFI + SLOT);
  *slot = at_code (BARE);
  scan ();
  CHECK_CALLER (GP_STACK_SCAN);
  *slot = at_code (HELPER); /* has CFI */
  scan ();
  CHECK_NO_CALLER ();
  put_unbound (); /* was never called */
  scan ();
  CHECK_NO_CALLER ();
}

/* A call through a pointer in the module's data proves as much as a direct call, unless the pointer changed. */
static void
calls_are_seen_through_pointers (void)
{
#if defined(__x86_64__)
  open_scene ();
  put_relative (CALLER + 0x10 - 6, "\xff\x15", 2, IMAGE_CFI - IMAGE_CODE + SLOT);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  uintptr_t *slot = (uintptr_t *) (g_image.memory + IMAGE_CFI + SLOT);
  *slot = at_code (BARE);
  scan ();
  CHECK_CALLER (GP_STACK_SCAN);
  *slot = at_code (HELPER); /* has CFI */
  scan ();
  CHECK_CALLER (GP_STACK_GUESSED);
#endif
}

/* The function called has CFI, but jumps on to code that has none. */
static void
a_tail_call_is_a_guess (void)
{
  open_scene ();
  put_call (CALLER + 0x10, TAIL);
  put_jump (TAIL + 0x40, BARE);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  scan ();
  CHECK_CALLER (GP_STACK_GUESSED);
  put_jump (TAIL + 0x40, HELPER); /* that has CFI too */
  put_table_jump (TAIL + 0x60);   /* stays within */
  scan ();
  CHECK_NO_CALLER ();
}

/* Each form of the instructions that the scan looks for. */
static void
machine_code_is_read (void)
{
#if defined(__x86_64__)
  static const struct
  {
    const char *bytes;
    size_t n;
    enum gp_call call;
  } calls[] = {
    { "\xff\xd0", 2, GP_CALL_INDIRECT },                     /* *%rax */
    { "\x41\xff\xd3", 3, GP_CALL_INDIRECT },                 /* *%r11 */
    { "\xff\x10", 2, GP_CALL_INDIRECT },                     /* *(%rax) */
    { "\xff\x14\xc8", 3, GP_CALL_INDIRECT },                 /* *(%rax,%rcx,8) */
    { "\xff\x50\x18", 3, GP_CALL_INDIRECT },                 /* *0x18(%rax) */
    { "\xff\x54\x24\x08", 4, GP_CALL_INDIRECT },             /* *8(%rsp) */
    { "\xff\x90\xe8\x00\x00\x00", 6, GP_CALL_INDIRECT },     /* *0xe8(%rax) */
    { "\xff\x94\xc8\xe8\x00\x00\x00", 7, GP_CALL_INDIRECT }, /* *0xe8(%rax,%rcx,8) */
    { "\xff\x14\xc5\x00\x10\x40\x00", 7, GP_CALL_INDIRECT }, /* *0x401000(,%rax,8) */
    { "\xff\x15\x00\x00\x00\x7f", 6, GP_CALL_INDIRECT },     /* *far(%rip): not in this module */
    { "\xe8\x00\x00\x00\x00", 5, GP_CALL_DIRECT },           /* the next instruction */
    { "\xe8\x00\x00\x00\x7f", 5, GP_CALL_NONE },             /* to nowhere */
    { "\xff\xe0", 2, GP_CALL_NONE },                         /* jmp *%rax */
    { "\x89\xd8\x85\xc0", 4, GP_CALL_NONE },
  };
  static const struct
  {
    const char *bytes;
    size_t n;
    bool leaves;
  } jumps[] = {
    { "\xff\xe0\x90\x90\x90", 5, true },     /* jmp *%rax */
    { "\x41\xff\xe3\x90\x90", 5, true },     /* jmp *%r11 */
    { "\x90\x90\x90\xff\xe0", 5, true },     /* as the last instruction */
    { "\xff\x67\x08\x90\x90", 5, true },     /* jmp *8(%rdi) */
    { "\xff\x25\x00\x00\x00\x00", 6, true }, /* jmp *(%rip) */
    { "\xff\x64\x24\x08\x90", 5, true },     /* jmp *8(%rsp) */
    { "\xe9\x00\x01\x00\x00", 5, true },
    { "\x0f\x8f\x00\x01\x00\x00", 6, true },
    { "\xff\x24\xc5\x00\x10\x40\x00", 7, false },     /* a table: jmp *table(,%rax,8) */
    { "\x3e\xff\x24\xc2\x90\x90\x90", 7, false },     /* notrack jmp *(%rdx,%rax,8) */
    { "\x48\x01\xd0\xff\xe0\x90\x90", 7, false },     /* add %rdx, %rax; jmp *%rax */
    { "\x4c\x01\xd8\x41\xff\xe3\x90\x90", 8, false }, /* the same with %r11 */
    { "\xeb\x10\x90\x90\x90", 5, true },              /* to a near neighbour */
    { "\xff\xd0\x90\x90\x90", 5, false },
  };
  for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
    uintptr_t target;
    struct gp_code code;
    open_scene ();
    CHECK (gp_modules_find (at_code (CALLER), &code));
    memcpy ((void *) (at_code (CALLER + 0x20) - calls[i].n), calls[i].bytes, calls[i].n);
    CHECK_EQUAL (gp_machine_call (&code, at_code (CALLER + 0x20), &target), calls[i].call);
  }
  for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
    uintptr_t target, at = (uintptr_t) jumps[i].bytes;
    CHECK_EQUAL (gp_machine_jump (&at, at + jumps[i].n, &target), jumps[i].leaves);
  }
#endif
}

/* A frame in the cold part of the function that was called. */
static void
cold_parts_belong_to_their_function (void)
{
  for (int jumps = 0; jumps < 2; jumps++) {
    open_scene ();
    put_call (COLD + 0x10, BARE);
    put_call (OTHER + 0x10, CALLER);
    if (jumps)
      put_conditional_jump (CALLER + 0x30, COLD + 8);
    stack_frame (7, at_code (COLD + 0x10));
    stack_frame (6, at_code (OTHER + 0x10));
    uintptr_t sp = stack_frame (4, at_code (ROOT + 0x10));
    g_boundary = (struct gp_boundary) { .pc = at_code (ROOT + 0x20), .sp = sp, .label = 1 };
    scan ();
    if (jumps)
      CHECK_FRAMES (GP_STACK_GUESSED, at_code (BARE + 0x20), at_code (COLD + 0x10), at_code (OTHER + 0x10), LABEL (1),
          at_code (ROOT + 0x10));
    else if (GP_SAVE_AREA == 0)
      CHECK_NO_CALLER ();
  }
}

/* The caller's frame hangs on bp, which code without CFI has saved and used for something else. */
static void
a_saved_bp_is_found (void)
{
  open_scene ();
#if defined(__x86_64__)
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 6, 2, CFA_DEF_CFA_REGISTER, 6 };
#else
  const uint8_t framed[] = { CFA_DEF_CFA_OFFSET, 16, CFA_OFFSET | 29, 2, CFA_OFFSET | 30, 1, CFA_DEF_CFA_REGISTER, 29 };
#endif
  image_fde (0x800, 0x880, framed, sizeof framed);
  image_finish ();
  put_call (0x810, BARE);
  stack_frame (7, at_code (0x810));
  g_words[g_top - 3] = 12345;
  g_words[g_top - 2] = at_word (40); /* bp, pushed right behind the return address */
  g_words[40] = 0;
  g_words[41] = at_code (ROOT + 0x10);
  g_boundary = (struct gp_boundary) { .pc = at_code (ROOT + 0x20), .sp = at_word (42), .label = 1 };
  scan ();
  CHECK_FRAMES (GP_STACK_SCAN, at_code (BARE + 0x20), at_code (0x810), LABEL (1), at_code (ROOT + 0x10));
  g_words[22 - 1] = 0; /* not saved: still in the register */
  atomic_fetch_add (&g_modules_epoch, 1);
  walk_from (at_code (BARE + 0x20), at_word (40), &g_boundary, 1, NULL);
  CHECK_FRAMES (GP_STACK_SCAN, at_code (BARE + 0x20), at_code (0x810), LABEL (1), at_code (ROOT + 0x10));
}

static void
threads_without_labels_are_scanned_to_their_root (void)
{
  open_scene ();
  put_call (CALLER + 0x10, BARE);
  stack_frame (7, at_code (CALLER + 0x10));
  finish_stack ();
  walk_from (at_code (BARE + 0x20), 0, NULL, 0, &g_boundary);
  CHECK_CALLER (GP_STACK_SCAN);
  walk_from (at_code (BARE + 0x20), 0, NULL, 0, NULL);
  CHECK_FRAMES (GP_STACK_SCAN, at_code (BARE + 0x20), at_code (CALLER + 0x10), at_code (ROOT + 0x10));
}

/* A callback: code without CFI called HELPER, and was called by CALLER. */
static void
a_gap_may_lie_between_frames (void)
{
  open_scene ();
  put_call (CALLER + 0x10, BARE);
  stack_frame (4, at_code (BARE + 0x30));
  stack_frame (9, at_code (CALLER + 0x10));
  finish_stack ();
  walk_from (at_code (HELPER + 0x20), 0, &g_boundary, 1, NULL);
  CHECK_FRAMES (GP_STACK_SCAN, at_code (HELPER + 0x20), at_code (BARE + 0x30), at_code (CALLER + 0x10), LABEL (1),
      at_code (ROOT + 0x10));
}

static void
the_search_is_bounded (void)
{
  open_scene ();
  put_indirect_call (CALLER + 0x10);
  for (uint32_t i = 16; i < STACK_WORDS - 40; i++)
    g_words[i] = at_code (CALLER + 0x10); /* each a candidate that leads to itself, none to the boundary */
  g_top = STACK_WORDS - 40;
  finish_stack ();
  g_boundary.sp += 8;
  scan ();
  CHECK_EQUAL (g_result.end, GP_STACK_BOUNDARY);
}

static void
a_leaf_that_saved_nothing_returns_by_register (void)
{
#if defined(__aarch64__)
  for (uint32_t room = 0; room <= 512; room += 256)
    for (int by_bp = 0; by_bp < 2; by_bp++) {
      open_scene ();
      put_call (CALLER + 0x10, BARE);
      if (room > 0) /* for its locals */
        stack_frame (room / 8, 0);
      finish_stack ();
      struct gp_regs regs = { .pc = at_code (BARE + 0x20),
        .sp = at_word (16),
        .lr = at_code (CALLER + 0x10),
        .bp = by_bp ? at_word (16) + room : 0 };
      struct gp_stack stack = whole_stack ();
      gp_unwind (&regs, &stack, &g_boundary, 1, NULL, g_frames, FRAMES_MAX, &g_result);
      CHECK_CALLER (room == 0 || by_bp ? GP_STACK_SCAN : GP_STACK_GUESSED);
    }
#endif
}

/* BARE has saved its frame record and lr, as AAPCS64 has it; CALLER keeps its own record at its sp. */
static void
frame_records_tell_sp (void)
{
#if defined(__aarch64__)
  open_scene ();
  put_indirect_call (CALLER + 0x10);
  g_top += 4;
  g_words[g_top - 2] = at_word (g_top + 20); /* x29 */
  g_words[g_top - 1] = at_code (CALLER + 0x10);
  g_top += 20; /* BARE's locals lie above the record */
  finish_stack ();
  scan ();
  CHECK_CALLER (GP_STACK_GUESSED);
#endif
}

int
main (int argc, char **argv)
{
  static const struct check_test tests[] = {
    CHECK_TEST (a_direct_caller_is_certain),
    CHECK_TEST (an_indirect_caller_is_a_guess),
    CHECK_TEST (a_word_behind_no_call_is_not_taken),
    CHECK_TEST (a_caller_that_misses_the_boundary_is_not_taken),
    CHECK_TEST (a_dead_direct_call_is_not_taken),
    CHECK_TEST (a_dead_indirect_call_below_a_direct_one_is_not_taken),
    CHECK_TEST (calls_are_seen_through_stubs),
    CHECK_TEST (calls_are_seen_through_pointers),
    CHECK_TEST (a_tail_call_is_a_guess),
    CHECK_TEST (machine_code_is_read),
    CHECK_TEST (cold_parts_belong_to_their_function),
    CHECK_TEST (a_saved_bp_is_found),
    CHECK_TEST (threads_without_labels_are_scanned_to_their_root),
    CHECK_TEST (a_gap_may_lie_between_frames),
    CHECK_TEST (the_search_is_bounded),
    CHECK_TEST (a_leaf_that_saved_nothing_returns_by_register),
    CHECK_TEST (frame_records_tell_sp),
  };
  return check_main (argc, argv, tests, sizeof tests / sizeof tests[0]);
}
