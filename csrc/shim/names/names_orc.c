/* SPDX-License-Identifier: MIT */
/* names_orc.c: ORC's kernels by the names of their programs.
 *
 * Code that orcc generates compiles a program once and takes the result with orc_program_take_code(). Only two fields
 * of what that returns are looked at: exec is public API; code_size is not, so it is not taken for more than a hint.
 *
 * Context: lifecycle, on the host's threads, once a kernel.
 */
#include "shim/names/names_orc.h"
#include "shim/names/names_list.h"

#include <stdio.h>
#include "shim/modules/modules.h"

enum
{
  MAX_CODE_BYTES = 65536, /* what ORC allocates at once; no kernel is longer */
  NAME_BYTES = 256,
  TOLD_LOG2 = 10
};

/* The head of struct _OrcCode, orc/orccode.h. */
struct orc_code
{
  void *exec;
  int result;
  char *name;
  unsigned char *code;
  int code_size;
};

void *(*g_names_real_orc_take_code) (void *program);
const char *(*g_names_orc_get_name) (void *program);

/* Whether the last kernel at this address had the same name: an element that compiles its kernels anew for each of its
 * kind has them at the same places, and the segment's list of names has an end. Two threads that come at once tell it
 * twice. */
static bool
is_told (uintptr_t start, int bytes, const char *text)
{
  static _Atomic uint64_t told[1 << TOLD_LOG2];
  uint64_t hash = (uint64_t) start * 0x9e3779b97f4a7c15u;
  _Atomic uint64_t *place = &told[hash >> (64 - TOLD_LOG2)];
  hash ^= (uint64_t) bytes;
  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char) *text) * 0x100000001b3u;
  return atomic_exchange_explicit (place, hash, memory_order_relaxed) == hash;
}

void *
gp_names_orc_take_code (void *program)
{
  char text[NAME_BYTES] = "";
  /* Acquire: pairs with the release where it is found. Asked first: the program's name may go with its code. */
  const char *(*get_name) (void *) = __atomic_load_n (&g_names_orc_get_name, __ATOMIC_ACQUIRE);
  if (atomic_load (&g_active) && get_name != NULL) {
    const char *name = get_name (program);
    if (name != NULL && name[0] != '\0')
      snprintf (text, sizeof text, "orc: %s", name);
  }
  struct orc_code *code = g_names_real_orc_take_code (program);
  /* Where ORC could not compile it, exec is a function in some module, or none. */
  if (code != NULL && text[0] != '\0' && code->exec != NULL && code->code_size > 0 && code->code_size <= MAX_CODE_BYTES
      && gp_modules_listed ((uintptr_t) code->exec) == NULL && !is_told ((uintptr_t) code->exec, code->code_size, text))
    gp_names_add ((uintptr_t) code->exec, (uint32_t) code->code_size, text);
  return code;
}
