/* SPDX-License-Identifier: MIT */
/* reader_internal.h: what the reader's files share. The shim writes while they read, and no value that it has written
 * is trusted.
 *
 * Context: agent. MT-Safe
 */
#ifndef GP_READER_INTERNAL_H
#define GP_READER_INTERNAL_H

#include <stdint.h>
#include "shared/atomics.h"

static inline uint32_t
bounded (uint32_t value, uint32_t limit)
{
  return value < limit ? value : limit;
}

#endif
