/* SPDX-License-Identifier: MIT */
/* frame.h: a frame's registers, and the only way to read its stack.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_FRAME_H
#define GP_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/base/thread_state.h"

#if defined(__x86_64__)
#include "shim/signal/arch_x86_64.h"
#elif defined(__aarch64__)
#include "shim/signal/arch_aarch64.h"
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif

/* For functions that read the host's stack: a sanitizer's red zones there must not be reported. */
#define GP_UNSANITIZED __attribute__ ((no_sanitize ("address"), no_sanitize ("thread")))

/* A frame's registers, as far as they are known. */
struct gp_frame
{
  uintptr_t r[GP_REGS]; /* by DWARF number; r[GP_REG_PC] is the pc */
  uint64_t known;       /* set of them */
  bool exact;           /* pc is the interrupted instruction, not a return address */
};

/* The only way to read stack: aligned and within it. */
GP_UNSANITIZED static inline bool
gp_stack_read (const struct gp_stack *stack, uintptr_t at, uintptr_t *value)
{
  if (at % sizeof *value != 0)
    return false;
  if ((at < stack->lo || at >= stack->hi || stack->hi - at < sizeof *value)
      && (at < stack->alt_lo || at >= stack->alt_hi || stack->alt_hi - at < sizeof *value))
    return false;
  *value = *(const uintptr_t *) at;
  return true;
}

static inline bool
gp_knows (const struct gp_frame *frame, uint64_t reg)
{
  return reg < GP_REGS && (frame->known >> reg & 1) != 0;
}

#endif
