/* SPDX-License-Identifier: MIT */
/* arch_x86_64.h: DWARF numbers of the registers (System V ABI, AMD64 supplement, figure 3.36), and their values at a
 * tick.
 *
 * Context: signal.
 */
#ifndef GP_ARCH_X86_64_H
#define GP_ARCH_X86_64_H

#include <stdint.h>
#include <ucontext.h>

enum
{
  GP_REG_BP = 6,
  GP_REG_SP = 7,
  GP_REG_RA = 16, /* column of the return address */
  GP_REG_PC = 16,
  GP_REGS = 17,
  GP_CALL_PUSHES = 8, /* bytes of stack that a call takes */
  GP_SAVE_AREA = 0,   /* bytes between a saved return address and the caller's sp, at most */
  GP_RED_ZONE = 128   /* bytes below sp that belong to the leaf */
};

static inline uintptr_t
gp_arch_code_address (uintptr_t address)
{
  return address;
}

static inline void
gp_arch_context (const ucontext_t *context, uintptr_t r[GP_REGS])
{
  static const uint8_t order[GP_REGS - 1] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
  for (int i = 0; i < GP_REGS - 1; i++)
    r[i] = (uintptr_t) context->uc_mcontext.gregs[order[i]];
}

#endif
