/* SPDX-License-Identifier: MIT */
/* reader_load.h: how the agent looks at words that the shim writes meanwhile.
 *
 * Context: agent. MT-Safe
 */
#ifndef GP_READER_LOAD_H
#define GP_READER_LOAD_H

#include <stdint.h>

static inline uint32_t
load32 (const uint32_t *word)
{
  return __atomic_load_n (word, __ATOMIC_ACQUIRE); /* pairs with the shim's releases */
}

static inline uint64_t
load64 (const uint64_t *word)
{
  return __atomic_load_n (word, __ATOMIC_ACQUIRE);
}

static inline uint32_t
bounded (uint32_t value, uint32_t limit)
{
  return value < limit ? value : limit;
}

#endif
