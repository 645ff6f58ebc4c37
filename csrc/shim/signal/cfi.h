/* SPDX-License-Identifier: MIT */
/* cfi.h: one step from a frame to its caller by call frame information (DWARF 5, 6.4; .eh_frame: LSB Core 5.0, 10.6).
 *
 * Nothing is built beforehand: a step reads the FDE in place and remembers the rule, if it is a simple one. All reads
 * of CFI stay within the segment that holds it, all reads of stack within struct gp_stack; what does not is a failed
 * step.
 *
 * Context: signal. All functions MT-Safe | AS-Safe.
 */
#ifndef GP_CFI_H
#define GP_CFI_H

#include <stdbool.h>
#include <stdint.h>
#include "shim/base/thread_state.h"
#include "shim/signal/module_lookup.h"

#if defined(__x86_64__)
#include "shim/signal/arch_x86_64.h"
#elif defined(__aarch64__)
#include "shim/signal/arch_aarch64.h"
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif

/* For functions that read the stack of others: its gaps are none of the sanitizer's business. */
#define GP_UNSANITIZED __attribute__ ((no_sanitize ("address"), no_sanitize ("thread")))

enum
{
  GP_CFI_REMEMBERED = 2 /* nested DW_CFA_remember_state; compilers use one */
};

/* A frame, as far as its registers are known. */
struct gp_frame
{
  uintptr_t r[GP_REGS]; /* by DWARF number; r[GP_REG_PC] is the pc */
  uint64_t known;       /* set of them */
  bool exact;           /* pc is the instruction at hand, not a return address */
};

enum gp_step
{
  GP_STEP_OK,
  GP_STEP_END, /* outermost frame: its return address is undefined */
  GP_STEP_NO_CFI,
  GP_STEP_BAD,             /* corrupt CFI, or values that cannot be */
  GP_STEP_UNKNOWN_REGISTER /* needs a register that quick steps do not carry along */
};

/* Bytes of CFI left to read. Reading past end sets bad and gives 0. */
struct gp_reader
{
  uintptr_t at, end;
  bool bad;
};

/* What an FDE and its CIE say about a function. */
struct gp_fde
{
  uintptr_t start, end;              /* of the function's code */
  struct gp_reader initial, program; /* instructions of the CIE, of the FDE */
  uintptr_t base, limit;             /* the segment that holds it all */
  uint64_t code_align;
  int64_t data_align;
  uint64_t ra_column;
  uint8_t encoding; /* of addresses */
  bool signal;      /* the frame was made by the kernel: its caller's pc is exact */
};

enum gp_rule
{
  GP_RULE_SAME = 0,
  GP_RULE_UNDEFINED,
  GP_RULE_OFFSET,     /* saved at CFA + value */
  GP_RULE_VAL_OFFSET, /* is CFA + value */
  GP_RULE_REGISTER,
  GP_RULE_EXPRESSION, /* saved where the expression at base + value says */
  GP_RULE_VAL_EXPRESSION
};

/* The rules at one pc. */
struct gp_row
{
  uintptr_t start, end; /* where else they hold */
  int64_t cfa_offset;   /* or where its expression is, from base */
  uint32_t cfa_register;
  bool cfa_expression;
  uint8_t rule[GP_REGS]; /* enum gp_rule */
  int32_t value[GP_REGS];
};

/* Replaces *frame by its caller, or leaves it as it is. quick: through the cache, which carries only pc, sp and bp. */
GP_INTERNAL enum gp_step gp_cfi_step (struct gp_frame *frame, const struct gp_stack *stack, bool quick);

/* Hints that the walk to come starts at leaf and will meet these frames (a walk's output; a word of 0 ends it), as the
 * last one did: their rules are fetched while the first steps are made. */
GP_INTERNAL void gp_cfi_expect (uintptr_t leaf, const uint64_t *frames, uint32_t n);

/* Finds the FDE that covers pc. False: there is none; fde->start and end are then the stretch without, empty where that
 * cannot be said. */
GP_INTERNAL bool gp_cfi_find (uintptr_t pc, const struct gp_code *code, struct gp_fde *fde);

/* Runs the programs up to pc. */
GP_INTERNAL bool gp_cfi_run (const struct gp_fde *fde, uintptr_t pc, struct gp_row *row);

/* Evaluates the expression (length first) at at, below end. initial, where not NULL, lies on its stack at the start. */
GP_INTERNAL bool gp_cfi_evaluate (uintptr_t at, uintptr_t end, const struct gp_frame *frame,
    const struct gp_stack *stack, const uintptr_t *initial, uintptr_t *value);

/* The readers: little endian, unaligned. gp_read_encoded: a pointer in one of the encodings DW_EH_PE_*; data_base is
 * what DW_EH_PE_datarel counts from. */
GP_INTERNAL uint64_t gp_read_fixed (struct gp_reader *reader, unsigned bytes);
GP_INTERNAL uint64_t gp_read_uleb (struct gp_reader *reader);
GP_INTERNAL int64_t gp_read_sleb (struct gp_reader *reader);
GP_INTERNAL uintptr_t gp_read_encoded (struct gp_reader *reader, uint8_t encoding, uintptr_t data_base);

/* The one way to read stack: aligned and within it. */
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
