/* SPDX-License-Identifier: MIT */
/* walk.h: literal stacks, and checks of a walk's frames.
 *
 * Context: tests only.
 */
#ifndef GP_WALK_H
#define GP_WALK_H

#include "check.h"
#include "image.h"
#include "shim/signal/unwind.h"

enum
{
  STACK_WORDS = 2048,
  FRAMES_MAX = 64
};

static uintptr_t g_words[STACK_WORDS] __attribute__ ((aligned (16)));
static uint32_t g_top; /* the word above the frames made so far */
static uint64_t g_frames[FRAMES_MAX + 1];
static struct gp_walk_result g_result;

#define LABEL(id) ((uint64_t) 1 << 63 | (uint64_t) GP_FRAME_LABEL << 56 | (id))
#define UNKNOWN ((uint64_t) 1 << 63 | (uint64_t) GP_FRAME_UNKNOWN << 56)
#define TRUNCATED ((uint64_t) 1 << 63 | (uint64_t) GP_FRAME_TRUNCATED << 56)
#define EXACT(pc) ((uint64_t) 1 << 63 | (uint64_t) GP_FRAME_EXACT << 56 | (pc))

static inline uintptr_t
at_word (uint32_t index)
{
  return (uintptr_t) &g_words[index];
}

/* A stack without frames, filled with meaningless words; the leaf's sp is at word 16. */
static inline void
stack_open (void)
{
  for (uint32_t i = 0; i < STACK_WORDS; i++)
    g_words[i] = 0x1234567;
  g_top = 16;
  memset (g_frames, 0, sizeof g_frames);
}

/* Adds a frame of so many words above those made so far; it returns to ra. Returns its CFA. */
static inline uintptr_t
stack_frame (uint32_t words, uintptr_t ra)
{
  g_top += words;
  g_words[g_top - 1] = ra;
  return at_word (g_top);
}

static inline struct gp_stack
whole_stack (void)
{
  return (struct gp_stack) { .lo = at_word (0), .hi = at_word (STACK_WORDS) };
}

static inline void
walk_from (uintptr_t pc, uintptr_t bp, const struct gp_boundary *boundaries, uint32_t n, const struct gp_boundary *root)
{
  struct gp_regs regs = { .pc = pc, .sp = at_word (16), .bp = bp };
  struct gp_stack stack = whole_stack ();
  gp_unwind (&regs, &stack, boundaries, n, root, g_frames, FRAMES_MAX, &g_result);
}

static inline int
frames_are (enum gp_stack_end end, const uint64_t *frames, uint32_t n)
{
  int same = g_result.depth == n && g_result.end == end && memcmp (g_frames, frames, n * sizeof *frames) == 0;
  if (!same) {
    printf ("end %d, wanted %d; code at %lx\n", (int) g_result.end, (int) end, (unsigned long) at_code (0));
    for (uint32_t i = 0; i < n || i < g_result.depth; i++)
      printf ("  %16lx  wanted %16lx\n", i < g_result.depth ? (unsigned long) g_frames[i] : 0UL,
          i < n ? (unsigned long) frames[i] : 0UL);
  }
  return same;
}

#define CHECK_FRAMES(end, ...)                                                                                         \
  CHECK (frames_are (end, (uint64_t[]) { __VA_ARGS__ }, sizeof ((uint64_t[]) { __VA_ARGS__ }) / 8))

#endif
