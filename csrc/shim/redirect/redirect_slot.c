/* SPDX-License-Identifier: MIT */
/* redirect_slot.c: reads a slot, finds whether its page is writable, and redirects it.
 *
 * Context: lifecycle, under the loader's list lock.
 */
#define _GNU_SOURCE
#include "shim/redirect/redirect_slot.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <unistd.h>
#include "shared/raw_syscall.h"

enum access
{
  ACCESS_UNKNOWN,
  ACCESS_READ_ONLY,
  ACCESS_WRITABLE
};

/* Whether a word can be written, without writing anything else to it: the kernel adds 0, atomically. Not
 * /proc/self/maps: thousands of lines in a host with many plugins. */
static enum access
probe (uintptr_t address)
{
  static uint32_t nobody_waits;
  long result = gp_syscall (SYS_futex, &nobody_waits, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0, address,
      FUTEX_OP (FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0));
  if (result >= 0)
    return ACCESS_WRITABLE;
  return errno == EFAULT ? ACCESS_READ_ONLY : ACCESS_UNKNOWN;
}

bool
gp_slot_module_closed (const struct gp_loaded_elf *elf)
{
  return elf->relro_lo < elf->relro_hi && probe (elf->relro_lo) == ACCESS_READ_ONLY;
}

static enum gp_slot_outcome
write_slot (const struct gp_loaded_elf *elf, uintptr_t address, uintptr_t old, uintptr_t new, bool ready)
{
  uintptr_t *slot = (uintptr_t *) address;
  bool relro = address >= elf->relro_lo && address < elf->relro_hi;
  enum access access = probe (address);
  uintptr_t page_bytes = (uintptr_t) sysconf (_SC_PAGESIZE);
  void *page = (void *) (address & -page_bytes);
  bool opened = false;
  if (relro && access != ACCESS_WRITABLE) {
    if (!ready)
      return GP_SLOT_NOT_READY;
    if (mprotect (page, page_bytes, PROT_READ | PROT_WRITE) != 0)
      return GP_SLOT_LEFT_ALONE;
    opened = true;
  } else if (relro && !ready) {
    return GP_SLOT_NOT_READY; /* the loader may make the page read-only at any moment */
  } else if (access == ACCESS_READ_ONLY) {
    return GP_SLOT_LEFT_ALONE; /* somebody else made it read-only */
  }
  /* Exchanged, not stored: the host may bind or change the slot meanwhile. Release: after publish_real(). */
  bool done = __atomic_compare_exchange_n (slot, &old, new, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
  if (opened)
    mprotect (page, page_bytes, PROT_READ);
  return done ? GP_SLOT_REDIRECTED : GP_SLOT_LEFT_ALONE;
}

enum gp_slot_outcome
gp_slot_redirect (
    const struct gp_loaded_elf *elf, const struct gp_loaded_slot *slot, const struct gp_slot_target *target, bool ready)
{
  if (target->real == 0 || slot->address % sizeof (uintptr_t) != 0
      || !gp_loaded_holds (elf, slot->address, sizeof (uintptr_t), PF_R | PF_W))
    return GP_SLOT_LEFT_ALONE;
  uintptr_t value = __atomic_load_n ((uintptr_t *) slot->address, __ATOMIC_RELAXED);
  if (value == target->replacement)
    return GP_SLOT_LEFT_ALONE;
  /* Not bound yet: it points into the module's own PLT. */
  bool unbound = slot->lazy && slot->symbol->st_shndx == SHN_UNDEF && gp_loaded_holds (elf, value, 1, PF_X);
  if (value != target->real && !(unbound && target->certain))
    return ready ? GP_SLOT_LEFT_ALONE : GP_SLOT_NOT_READY;
  return write_slot (elf, slot->address, value, target->replacement, ready);
}
