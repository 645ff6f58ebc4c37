/* SPDX-License-Identifier: MIT */
/* unwind_call_aarch64.c: calls, PLT stubs and jumps in A64 machine code (Arm Architecture Reference Manual, C4.1).
 *
 * Context: signal.
 */
#if defined(__aarch64__)
#define _GNU_SOURCE
#include "shim/signal/unwind_call.h"

static uint32_t
instruction (uintptr_t at)
{
  return *(const uint32_t *) at;
}

/* Sign-extends bits [low, low + width) of an instruction and counts them in words from at. */
static uintptr_t
relative (uintptr_t at, unsigned low, unsigned width)
{
  int32_t words = (int32_t) (instruction (at) << (32 - low - width)) >> (32 - width);
  return at + (uintptr_t) (intptr_t) words * 4;
}

enum gp_call
gp_machine_call (const struct gp_code *code, uintptr_t ra, uintptr_t *target)
{
  if (ra % 4 != 0 || ra < code->start + 4 || ra > code->end)
    return GP_CALL_NONE;
  uint32_t word = instruction (ra - 4);
  if ((word & 0xfc000000) == 0x94000000) { /* bl */
    *target = relative (ra - 4, 0, 26);
    return GP_CALL_DIRECT;
  }
  if ((word & 0xfffffc1f) == 0xd63f0000 || (word & 0xfefff800) == 0xd63f0800) /* blr, blraa and its kin */
    return GP_CALL_INDIRECT;
  return GP_CALL_NONE;
}

uintptr_t
gp_machine_stub (const struct gp_code *code, uintptr_t address)
{
  uintptr_t at = address;
  if (at % 4 != 0 || at < code->start || at > code->end || code->end - at < 20)
    return address;
  if (instruction (at) == 0xd503245f) /* bti c */
    at += 4;
  uint32_t page = instruction (at), load = instruction (at + 4);
  if ((page & 0x9f00001f) != 0x90000010 || (load & 0xffc003ff) != 0xf9400211) /* adrp x16; ldr x17, [x16, #] */
    return address;
  int64_t pages = (int32_t) ((page >> 5 & 0x7ffff) << 13) >> 11 | (int32_t) (page >> 29 & 3);
  uintptr_t slot = (at & ~(uintptr_t) 4095) + (uintptr_t) (pages * 4096) + (load >> 10 & 0xfff) * 8;
  if (!gp_modules_readable (code, slot))
    return address;
  /* Relaxed: the loader may bind it at any time; any value read is one that was there. */
  uintptr_t bound = __atomic_load_n ((const uintptr_t *) slot, __ATOMIC_RELAXED);
  /* not bound yet: the PLT's first entry, which lies before all stubs */
  if (bound >= code->start && bound <= address && address - bound < 1 << 20
      && (instruction (bound) == 0xa9bf7bf0 || instruction (bound + 4) == 0xa9bf7bf0)) /* stp x16, x30, [sp, #-16]! */
    return 0;
  return bound;
}

bool
gp_machine_jump (uintptr_t *at, uintptr_t end, uintptr_t *target)
{
  for (uintptr_t pc = *at; pc + 4 <= end; pc += 4) {
    uint32_t word = instruction (pc);
    if ((word & 0xfc000000) == 0x14000000) { /* b */
      *target = relative (pc, 0, 26);
    } else if ((word & 0xff000010) == 0x54000000 || (word & 0x7e000000) == 0x34000000) { /* b.cond, cbz */
      *target = relative (pc, 5, 19);
    } else if ((word & 0x7e000000) == 0x36000000) { /* tbz */
      *target = relative (pc, 5, 14);
    } else if ((word & 0xfffffc1f) == 0xd61f0000 && (pc == *at || (instruction (pc - 4) & 0xffe00000) != 0x8b200000)) {
      *target = 0; /* br, but for jump tables: those add an extended register first */
    } else {
      continue;
    }
    *at = pc + 4;
    return true;
  }
  return false;
}
#endif
