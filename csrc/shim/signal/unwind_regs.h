/* SPDX-License-Identifier: MIT */
/* unwind_regs.h: the registers of the thread that a signal interrupted. Needs _GNU_SOURCE.
 *
 * Context: signal.
 */
#ifndef GP_UNWIND_REGS_H
#define GP_UNWIND_REGS_H

#include <ucontext.h>
#include "shim/signal/unwind.h"

/* MT-Safe | AS-Safe */
static inline struct gp_regs
gp_regs_of (const ucontext_t *context)
{
  struct gp_regs regs = { .context = context };
#if defined(__x86_64__)
  regs.pc = (uintptr_t) context->uc_mcontext.gregs[REG_RIP];
  regs.sp = (uintptr_t) context->uc_mcontext.gregs[REG_RSP];
  regs.bp = (uintptr_t) context->uc_mcontext.gregs[REG_RBP];
#else
  regs.pc = context->uc_mcontext.pc;
  regs.sp = context->uc_mcontext.sp;
  regs.bp = context->uc_mcontext.regs[29];
  regs.lr = context->uc_mcontext.regs[30];
#endif
  return regs;
}

#endif
