/* SPDX-License-Identifier: MIT */
/* unwind_call.h: what the machine code around a return address says about who was called.
 *
 * Context: signal. All functions MT-Safe | AS-Safe, and require gp_modules_enter().
 */
#ifndef GP_UNWIND_CALL_H
#define GP_UNWIND_CALL_H

#include "shim/signal/module_lookup.h"

/* How one frame can have come to call another. */
enum gp_link
{
  GP_LINK_NO,       /* no call stands there, or it leads elsewhere */
  GP_LINK_INDIRECT, /* the call goes wherever a register or memory said */
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

/* The call before ra, which lies in code; a direct one's target as it stands in the instruction. */
GP_INTERNAL enum gp_call gp_machine_call (const struct gp_code *code, uintptr_t ra, uintptr_t *target);

/* Where the PLT stub at address goes, 0: it was never used; address itself where there is no stub. */
GP_INTERNAL uintptr_t gp_machine_stub (const struct gp_code *code, uintptr_t address);

/* The next jump at or after *at, below end, that may leave the function: true, *at moved behind it, *target its
 * destination, 0 where a register or memory holds that. False: none. */
GP_INTERNAL bool gp_machine_jump (uintptr_t *at, uintptr_t end, uintptr_t *target);

#endif
