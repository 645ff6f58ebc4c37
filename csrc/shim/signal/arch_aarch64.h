/* SPDX-License-Identifier: MIT */
/* arch_aarch64.h: DWARF numbers of the registers (DWARF for the Arm 64-bit Architecture), and their values at a tick.
 *
 * Context: signal.
 */
#ifndef GP_ARCH_AARCH64_H
#define GP_ARCH_AARCH64_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

enum
{
  GP_REG_BP = 29,
  GP_REG_RA = 30, /* column of the return address: the link register */
  GP_REG_SP = 31,
  GP_REG_PC = 32,
  GP_REGS = 33,
  GP_CALL_PUSHES = 0, /* bytes of stack that a call takes */
  GP_SAVE_AREA = 512, /* bytes between a saved return address and the caller's sp, at most */
  GP_RED_ZONE = 0
};

/* Bytes from the sp of the kernel's signal frame to the saved registers (struct rt_sigframe of
 * arch/arm64/kernel/signal.c). */
enum
{
  GP_SIGNAL_REGS = sizeof (siginfo_t) + offsetof (ucontext_t, uc_mcontext) + offsetof (mcontext_t, regs)
};
_Static_assert (GP_SIGNAL_REGS == 312, "rt_sigframe is the kernel's ABI");

/* Strips the pointer authentication code: user space addresses of code have 48 bits. */
static inline uintptr_t
gp_arch_code_address (uintptr_t address)
{
  return address & 0xffffffffffff;
}

static inline void
gp_arch_context (const ucontext_t *context, uintptr_t r[GP_REGS])
{
  for (int i = 0; i < 31; i++)
    r[i] = context->uc_mcontext.regs[i];
  r[GP_REG_SP] = context->uc_mcontext.sp;
}

#endif
