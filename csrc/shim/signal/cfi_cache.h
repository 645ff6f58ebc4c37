/* SPDX-License-Identifier: MIT */
/* cfi_cache.h: remembers the simple rules of pcs, so that most steps read no CFI.
 *
 * A rule is two words, (key ^ data, data): a rule torn between two writers matches no key. Relaxed throughout: the
 * words prove each other and order nothing else. The key holds the modules' epoch, so all rules end when code is
 * unloaded.
 *
 * In a running program a step costs as many cache misses as it reads cache lines. A return address occurs again and
 * again, so its rule is found in one line. Way 0 has the rule that holds for the whole block of code; most blocks lie
 * in the middle of a function. The other ways hold rules of single pcs. A leaf may be at any instruction, so it is
 * looked up by area first: a large function, or assembly without any CFI, is known after a few samples.
 *
 * Context: signal. MT-Safe | AS-Safe
 */
#ifndef GP_CFI_CACHE_H
#define GP_CFI_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/signal/module_lookup.h"

enum
{
  GP_CACHE_BITS = 12, /* 4 Ki lines, 16 Ki rules, 256 KiB once all are used */
  GP_CACHE_WAYS = 4,
  GP_BLOCK_BYTES = 64,
  GP_AREA_BYTES = 1024
};

/* A simple rule: the CFA is sp or bp plus a number of words. The return address and bp are saved at CFA - 8 * slot;
 * slot 0: they are still in their registers (lr, bp). */
enum
{
  GP_SIMPLE_VALID = 1 << 0,
  GP_SIMPLE_FROM_BP = 1 << 1,
  GP_SIMPLE_END = 1 << 2,  /* outermost frame */
  GP_SIMPLE_NONE = 1 << 3, /* no CFI here */
  GP_SIMPLE_RA_SHIFT = 4,
  GP_SIMPLE_BP_SHIFT = 14,
  GP_SIMPLE_SLOT_MAX = (1 << 10) - 1,
  GP_SIMPLE_CFA_SHIFT = 24,
  GP_SIMPLE_CFA_MAX = (1 << 24) - 1
};

struct gp_cache_line
{
  struct
  {
    _Atomic uint64_t check, data;
  } ways[GP_CACHE_WAYS];
} __attribute__ ((aligned (64)));

GP_INTERNAL extern struct gp_cache_line g_cfi_cache[1 << GP_CACHE_BITS];

/* The line of a block or area by its number. */
static inline struct gp_cache_line *
gp_cache_line (uintptr_t number)
{
  return &g_cfi_cache[number * 0x9e3779b97f4a7c15U >> (64 - GP_CACHE_BITS)];
}

static inline struct gp_cache_line *
gp_cache_line_of_area (uintptr_t pc)
{
  return gp_cache_line (~(pc / GP_AREA_BYTES));
}

/* The key of [pc, pc + bytes); bytes is 1, a block's or an area's. Bits 48 to 63 of an address are 0: the key has the
 * kind and the epoch there. */
static inline uint64_t
gp_cache_key (uintptr_t pc, uintptr_t bytes)
{
  uint64_t epoch = atomic_load_explicit (&g_modules_epoch, memory_order_relaxed);
  return (pc & ~(bytes - 1)) ^ bytes << 52 ^ epoch << 48;
}

static inline uint32_t
gp_cache_way (uintptr_t pc)
{
  return 1 + (uint32_t) (pc % GP_BLOCK_BYTES) % (GP_CACHE_WAYS - 1);
}

static inline uint64_t
gp_cache_read (struct gp_cache_line *line, uint32_t way, uint64_t key)
{
  uint64_t data = atomic_load_explicit (&line->ways[way].data, memory_order_relaxed);
  uint64_t check = atomic_load_explicit (&line->ways[way].check, memory_order_relaxed);
  return (check ^ data) == key ? data : 0;
}

static inline void
gp_cache_write (struct gp_cache_line *line, uint32_t way, uint64_t key, uint64_t data)
{
  atomic_store_explicit (&line->ways[way].check, key ^ data, memory_order_relaxed);
  atomic_store_explicit (&line->ways[way].data, data, memory_order_relaxed);
}

/* The rule of pc; 0: not in the cache. */
static inline uint64_t
gp_cache_recall (uintptr_t pc, bool leaf)
{
  uint64_t data;
  struct gp_cache_line *line = gp_cache_line (pc / GP_BLOCK_BYTES);
  if (leaf && (data = gp_cache_read (gp_cache_line_of_area (pc), 0, gp_cache_key (pc, GP_AREA_BYTES))) != 0)
    return data;
  data = gp_cache_read (line, 0, gp_cache_key (pc, GP_BLOCK_BYTES));
  return data != 0 ? data : gp_cache_read (line, gp_cache_way (pc), gp_cache_key (pc, 1));
}

/* Whether the aligned block of so many bytes around pc lies within [start, end). */
static inline bool
gp_cache_covers (uintptr_t pc, uintptr_t bytes, uintptr_t start, uintptr_t end)
{
  uintptr_t first = pc & ~(bytes - 1);
  return start <= first && end >= first + bytes;
}

/* Remembers a rule that holds in [start, end), which pc lies in. */
static inline void
gp_cache_remember (uintptr_t pc, bool leaf, uintptr_t start, uintptr_t end, uint64_t data)
{
  struct gp_cache_line *line = gp_cache_line (pc / GP_BLOCK_BYTES);
  if (leaf && gp_cache_covers (pc, GP_AREA_BYTES, start, end))
    gp_cache_write (gp_cache_line_of_area (pc), 0, gp_cache_key (pc, GP_AREA_BYTES), data);
  else if (gp_cache_covers (pc, GP_BLOCK_BYTES, start, end))
    gp_cache_write (line, 0, gp_cache_key (pc, GP_BLOCK_BYTES), data);
  else
    gp_cache_write (line, gp_cache_way (pc), gp_cache_key (pc, 1), data);
}

#endif
