/* SPDX-License-Identifier: MIT */
/* unwind_call.h: what was called before a return address, from the machine code there.
 *
 * Context: signal. All functions MT-Safe | AS-Safe, and require gp_modules_enter().
 */
#ifndef GP_UNWIND_CALL_H
#define GP_UNWIND_CALL_H

#include "shim/signal/module_lookup.h"

/* How a call can have led to a function. */
enum gp_link
{
  GP_LINK_NO,       /* there is no call, or it leads elsewhere */
  GP_LINK_INDIRECT, /* the call goes where a register or memory pointed */
  GP_LINK_JUMP,     /* the function called may have jumped on: a tail call, or its cold part */
  GP_LINK_DIRECT
};

/* Whether the call before the return address ra can have led to the code at pc; pc 0: to any code without CFI.
 * Remembered, so that a scan reads machine code once. */
GP_INTERNAL enum gp_link gp_call_link (uintptr_t ra, uintptr_t pc);

enum gp_call
{
  GP_CALL_NONE,
  GP_CALL_DIRECT,
  GP_CALL_BY_SLOT, /* through a pointer at a fixed place in the module; target is what it points to now */
  GP_CALL_INDIRECT
};

/* By machine: unwind_call_x86_64.c, unwind_call_aarch64.c. */

/* The call before ra, which lies in code. *target: that of a direct call, as the instruction holds it. */
GP_INTERNAL enum gp_call gp_machine_call (const struct gp_code *code, uintptr_t ra, uintptr_t *target);

/* Where the PLT stub at address goes; 0: it is not bound yet. If there is no stub, address itself. */
GP_INTERNAL uintptr_t gp_machine_stub (const struct gp_code *code, uintptr_t address);

/* Finds the next jump at or after *at, below end, that may leave the function, and moves *at behind it. *target: its
 * destination; 0: a register or memory holds it. False: there is none. */
GP_INTERNAL bool gp_machine_jump (uintptr_t *at, uintptr_t end, uintptr_t *target);

#endif
