/* SPDX-License-Identifier: MIT */
/* cfi_cache.h: remembers the simple rules of pcs, so that most steps read no CFI.
 *
 * A rule is two words, (key ^ data, data): one torn between two writers matches no key. Relaxed throughout: the words
 * carry their own proof and order nothing else. The key holds the modules' epoch, so all rules end when code goes away.
 *
 * What a step costs in a running program is the cache lines it touches, all of them cold. So all rules that a pc may
 * have lie in one line: way 0 has the rule that holds for the pc's whole block of code (most blocks lie in the middle
 * of a function), the others hold rules of single pcs.
 *
 * Context: signal. MT-Safe | AS-Safe
 */
#ifndef GP_CFI_CACHE_H
#define GP_CFI_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "modules.h"

enum
{
  GP_CACHE_BITS = 12, /* 4 Ki lines, 16 Ki rules, 256 KiB once all are used */
  GP_CACHE_WAYS = 4,
  GP_BLOCK_BYTES = 64
};

/* A simple rule: the CFA is sp or bp plus a number of words; the return address and bp lie at CFA - 8 * slot, slot 0:
 * still where they were (in lr, in bp). */
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

static inline struct gp_cache_line *
gp_cache_line (uintptr_t pc)
{
  return &g_cfi_cache[pc / GP_BLOCK_BYTES * 0x9e3779b97f4a7c15U >> (64 - GP_CACHE_BITS)];
}

static inline uint64_t
gp_cache_epoch (void)
{
  return (uint64_t) atomic_load_explicit (&g_modules_epoch, memory_order_relaxed) << 48;
}

/* Bit 63 of an address is never set: it marks the key of a block. */
static inline uint64_t
gp_cache_key (uintptr_t pc, bool block)
{
  return (block ? (pc & ~(uintptr_t) (GP_BLOCK_BYTES - 1)) | (uint64_t) 1 << 63 : pc) ^ gp_cache_epoch ();
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

/* The rule of pc, 0: not known. */
static inline uint64_t
gp_cache_recall (uintptr_t pc)
{
  struct gp_cache_line *line = gp_cache_line (pc);
  uint64_t data = gp_cache_read (line, 0, gp_cache_key (pc, true));
  return data != 0 ? data : gp_cache_read (line, gp_cache_way (pc), gp_cache_key (pc, false));
}

/* Remembers a rule that holds in [start, end), which pc lies in. */
static inline void
gp_cache_remember (uintptr_t pc, uintptr_t start, uintptr_t end, uint64_t data)
{
  uintptr_t block = pc & ~(uintptr_t) (GP_BLOCK_BYTES - 1);
  bool whole = start <= block && end >= block + GP_BLOCK_BYTES;
  struct gp_cache_line *line = gp_cache_line (pc);
  uint32_t way = whole ? 0 : gp_cache_way (pc);
  atomic_store_explicit (&line->ways[way].check, gp_cache_key (pc, whole) ^ data, memory_order_relaxed);
  atomic_store_explicit (&line->ways[way].data, data, memory_order_relaxed);
}

#endif
