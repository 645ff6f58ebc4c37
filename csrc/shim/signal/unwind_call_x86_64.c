/* SPDX-License-Identifier: MIT */
/* unwind_call_x86_64.c: calls, PLT stubs and jumps in x86-64 machine code.
 *
 * Instructions are not decoded from a function's start. Patterns of bytes are searched for, and one may be found within
 * another instruction. Such a mistake loses a candidate, or turns a certain stack into a guess.
 *
 * Context: signal.
 */
#if defined(__x86_64__)
#define _GNU_SOURCE
#include "shim/signal/unwind_call.h"

enum
{
  LONGEST_CALL = 7
};

static uintptr_t
relative (const uint8_t *operand)
{
  uint32_t bits = operand[0] | (uint32_t) operand[1] << 8 | (uint32_t) operand[2] << 16 | (uint32_t) operand[3] << 24;
  return (uintptr_t) operand + 4 + (uintptr_t) (intptr_t) (int32_t) bits;
}

/* Whether the length bytes before p are call r/m64 (ff /2) with its operand. */
static bool
indirect_call (const uint8_t *p, int length)
{
  const uint8_t *at = p - length;
  if (at[0] != 0xff || (at[1] >> 3 & 7) != 2)
    return false;
  int mode = at[1] >> 6, rm = at[1] & 7, want;
  if (mode == 3)
    want = 2;
  else if (rm == 4)
    want = mode == 0 ? ((at[2] & 7) == 5 ? 7 : 3) : mode == 1 ? 4 : 7;
  else
    want = mode == 0 ? (rm == 5 ? 6 : 2) : mode == 1 ? 3 : 6;
  return want == length;
}

/* Relaxed: the loader and the program may write it at any time; any value read is one that was there. */
static bool
read_slot (const struct gp_code *code, uintptr_t slot, uintptr_t *value)
{
  if (slot % sizeof slot != 0 || !gp_modules_readable (code, slot))
    return false;
  *value = __atomic_load_n ((const uintptr_t *) slot, __ATOMIC_RELAXED);
  return true;
}

enum gp_call
gp_machine_call (const struct gp_code *code, uintptr_t ra, uintptr_t *target)
{
  if (ra < code->start + LONGEST_CALL || ra > code->end)
    return GP_CALL_NONE;
  const uint8_t *p = (const uint8_t *) ra;
  if (p[-5] == 0xe8) {
    *target = relative (p - 4);
    /* a linker makes direct calls within the module only; others are the last bytes of a longer instruction */
    if (*target >= code->start && *target < code->end)
      return GP_CALL_DIRECT;
  }
  if (p[-6] == 0xff && p[-5] == 0x15 && read_slot (code, relative (p - 4), target))
    return GP_CALL_BY_SLOT;
  for (int length = 2; length <= LONGEST_CALL; length++)
    if (indirect_call (p, length))
      return GP_CALL_INDIRECT;
  return GP_CALL_NONE;
}

uintptr_t
gp_machine_stub (const struct gp_code *code, uintptr_t address)
{
  const uint8_t *p = (const uint8_t *) address;
  if (address < code->start || address > code->end || code->end - address < 16)
    return address;
  if (p[0] == 0xf3 && p[1] == 0x0f && p[2] == 0x1e && p[3] == 0xfa) /* endbr64 */
    p += 4;
  if (p[0] == 0xf2) /* bnd */
    p++;
  if (p[0] != 0xff || p[1] != 0x25)
    return address;
  uintptr_t bound;
  if (!read_slot (code, relative (p + 2), &bound))
    return address;
  return bound >= address && bound - address < 16 ? 0 : bound;
}

/* Whether the jmp r/m64 (ff /4) at p may leave the function. A jump through a jump table does not: it is indexed, or
 * adds an entry to the table's address. */
static bool
leaves_by_pointer (const uint8_t *p, const uint8_t *start)
{
  if (p[1] >= 0xe0 && p[1] <= 0xe7) {
    const uint8_t *before = p - 1;                                  /* at the last byte of the instruction before */
    while (before >= start && (*before == 0x3e || *before == 0x41)) /* notrack, REX.B */
      before--;
    return !(before - 2 >= start && (before[-1] == 0x01 || before[-1] == 0x03) && (before[-2] & 0xf0) == 0x40);
  }
  if ((p[1] >> 3 & 7) != 4 || p[1] >= 0xc0)
    return false;
  return (p[1] & 7) != 4 || (p[2] & 0xc0) == 0;
}

bool
gp_machine_jump (uintptr_t *at, uintptr_t end, uintptr_t *target)
{
  const uint8_t *start = (const uint8_t *) *at, *limit = (const uint8_t *) end;
  for (const uint8_t *p = start; limit - p >= 2; p++) {
    if (p[0] == 0xe9 && limit - p >= 5) {
      *target = relative (p + 1);
    } else if (p[0] == 0xeb) {
      *target = (uintptr_t) p + 2 + (uintptr_t) (intptr_t) (int8_t) p[1];
    } else if (p[0] == 0x0f && (p[1] & 0xf0) == 0x80 && limit - p >= 6) {
      *target = relative (p + 2);
    } else if (p[0] == 0xff && (limit - p >= 3 || p[1] >= 0xc0) && leaves_by_pointer (p, start)) {
      *target = 0;
    } else {
      continue;
    }
    *at = (uintptr_t) p + 1;
    return true;
  }
  return false;
}
#endif
