/* SPDX-License-Identifier: MIT */
/* row_table.h: which rows of a table in the segment are in use. One bit a row: the shim sets it, the agent clears it.
 *
 * The lowest free row is taken, so a table is only as large as its rows in use require. The search begins at the first
 * word that may have a free row, however large the table once was.
 *
 * Context: hook, lifecycle (gp_row_take); agent (the others). MT-Safe | AS-Safe
 */
#ifndef GP_ROW_TABLE_H
#define GP_ROW_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include "shared/abi.h"

#define GP_NO_ROW UINT32_MAX

/* Takes a free row of the words [from, words). *at: its word, or `words` if there is none. */
static inline uint32_t
gp_row_take_from (uint64_t *bits, uint32_t from, uint32_t words, uint32_t *at)
{
  for (*at = from; *at < words; ++*at) {
    uint64_t word = __atomic_load_n (&bits[*at], __ATOMIC_RELAXED);
    while (word != UINT64_MAX) {
      uint32_t bit = (uint32_t) __builtin_ctzll (~word);
      /* Pairs with the release in gp_row_free(): the agent has read the row before. */
      word = __atomic_fetch_or (&bits[*at], UINT64_C (1) << bit, __ATOMIC_ACQUIRE);
      if ((word >> bit & 1) == 0)
        return *at * 64 + bit;
    }
  }
  return GP_NO_ROW;
}

/* Takes the lowest free row of a table of `words` times 64 rows; GP_NO_ROW: there is none. */
static inline uint32_t
gp_row_take (struct gp_taken *taken, uint64_t *bits, uint32_t words)
{
  uint32_t first = __atomic_load_n (&taken->first_free, __ATOMIC_RELAXED), at;
  uint32_t row = gp_row_take_from (bits, first, words, &at);
  /* A row freed at the same moment may lie before `first`. */
  if (row == GP_NO_ROW && first != 0)
    row = gp_row_take_from (bits, 0, first, &at);
  else if (at != first)
    __atomic_compare_exchange_n (&taken->first_free, &first, at, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  uint32_t used = __atomic_load_n (&taken->words_used, __ATOMIC_RELAXED);
  while (row != GP_NO_ROW && used <= at
         && !__atomic_compare_exchange_n (&taken->words_used, &used, at + 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    continue;
  return row;
}

static inline void
gp_row_free (struct gp_taken *taken, uint64_t *bits, uint32_t row)
{
  uint32_t at = row / 64, first = __atomic_load_n (&taken->first_free, __ATOMIC_RELAXED);
  __atomic_fetch_and (&bits[at], ~(UINT64_C (1) << row % 64), __ATOMIC_RELEASE);
  while (at < first
         && !__atomic_compare_exchange_n (&taken->first_free, &first, at, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    continue;
}

/* The first row in use from `row` on; GP_NO_ROW: none. Called with 0, then with the row behind the last result. */
static inline uint32_t
gp_row_next (const struct gp_taken *taken, const uint64_t *bits, uint32_t words, uint32_t row)
{
  uint32_t used = __atomic_load_n (&taken->words_used, __ATOMIC_ACQUIRE);
  used = used < words ? used : words;
  for (uint32_t at = row / 64; at < used; at++, row = at * 64) {
    uint64_t word = __atomic_load_n (&bits[at], __ATOMIC_ACQUIRE) >> row % 64;
    if (word != 0)
      return row + (uint32_t) __builtin_ctzll (word);
  }
  return GP_NO_ROW;
}

/* The three tables, as arguments of the functions above. */
#define GP_LABEL_TABLE(segment) &(segment)->labels_taken, (segment)->label_bits
#define GP_THREAD_TABLE(segment) &(segment)->threads_taken, (segment)->thread_bits
#define GP_ACCOUNT_TABLE(segment) &(segment)->accounts_taken, (segment)->account_bits

enum
{
  GP_LABEL_WORDS = GP_LABELS / 64,
  GP_THREAD_WORDS = GP_THREADS / 64,
  GP_ACCOUNT_WORDS = GP_ACCOUNTS / 64
};

#endif
