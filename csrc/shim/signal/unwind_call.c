/* SPDX-License-Identifier: MIT */
/* unwind_call.c: whether a call can have led to a given function.
 *
 * Context: signal. Bounded: SEARCH_MAX bytes of code are read.
 */
#define _GNU_SOURCE
#include "shim/signal/unwind_call.h"
#include "shim/signal/cfi_find.h"

enum
{
  SEARCH_MAX = 8192,
  LINK_BITS = 11,
  LINK_MASK = 3
};

/* Links found before: a hash of caller and callee in the upper 62 bits, the link in the lower two. Relaxed: each word
 * is complete by itself. */
static _Atomic uint64_t g_links[1 << LINK_BITS];

static uint64_t
link_key (uintptr_t ra, uintptr_t pc)
{
  uint64_t key = ra * 0x9e3779b97f4a7c15U ^ (pc + atomic_load_explicit (&g_modules_epoch, memory_order_relaxed));
  key *= 0xd6e8feb86659fd93U;
  return (key ^ key >> 32) | LINK_MASK;
}

/* The function that address lies in, by its FDE; false: it has none. */
static bool
function_of (uintptr_t address, struct gp_code *code, struct gp_fde *fde)
{
  return gp_modules_find (address, code) && gp_cfi_find (address, code, fde) && fde->start >= code->start
         && fde->end <= code->end;
}

/* Whether the function jumps to the function of pc (pc 0: to code without CFI). */
static bool
jumps_to (const struct gp_fde *from, uintptr_t pc)
{
  uintptr_t at = from->start, target;
  uintptr_t end = from->end - at > SEARCH_MAX ? at + SEARCH_MAX : from->end;
  struct gp_code code;
  struct gp_fde to;
  while (gp_machine_jump (&at, end, &target)) {
    if (target == 0)
      return true;
    if (target >= from->start && target < from->end)
      continue;
    if (!gp_modules_find (target, &code))
      continue;
    target = gp_machine_stub (&code, target);
    bool found = function_of (target, &code, &to);
    if (pc == 0 ? !found : found && pc >= to.start && pc < to.end)
      return true;
  }
  return end < from->end; /* too long to search: it may */
}

static enum gp_link
reaches (uintptr_t target, uintptr_t pc)
{
  struct gp_code code;
  struct gp_fde fde;
  if (target == 0)
    return GP_LINK_NO;
  if (!function_of (target, &code, &fde))
    return pc == 0 ? GP_LINK_DIRECT : GP_LINK_NO;
  if (pc >= fde.start && pc < fde.end)
    return GP_LINK_DIRECT;
  return jumps_to (&fde, pc) ? GP_LINK_JUMP : GP_LINK_NO;
}

static enum gp_link
find_link (uintptr_t ra, uintptr_t pc)
{
  struct gp_code code;
  uintptr_t target;
  if (!gp_modules_find (ra - 1, &code))
    return GP_LINK_NO;
  switch (gp_machine_call (&code, ra, &target)) {
    case GP_CALL_DIRECT:
      return reaches (gp_machine_stub (&code, target), pc);
    case GP_CALL_BY_SLOT: {
      /* the slot may have held another address when the call was made */
      enum gp_link link = reaches (target, pc);
      return link == GP_LINK_NO ? GP_LINK_INDIRECT : link;
    }
    case GP_CALL_INDIRECT:
      return GP_LINK_INDIRECT;
    default:
      return GP_LINK_NO;
  }
}

enum gp_link
gp_call_link (uintptr_t ra, uintptr_t pc)
{
  uint64_t key = link_key (ra, pc);
  _Atomic uint64_t *known = &g_links[key >> (64 - LINK_BITS)];
  uint64_t word = atomic_load_explicit (known, memory_order_relaxed);
  if ((word | LINK_MASK) == key)
    return (enum gp_link) (word & LINK_MASK);
  enum gp_link link = find_link (ra, pc);
  atomic_store_explicit (known, (key & ~(uint64_t) LINK_MASK) | link, memory_order_relaxed);
  return link;
}
