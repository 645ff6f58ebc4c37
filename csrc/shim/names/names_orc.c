/* SPDX-License-Identifier: MIT */
/* names_orc.c: ORC's kernels by the names of their programs.
 *
 * Code that orcc generates compiles a program once, and takes the result by orc_program_take_code(). Only two fields of
 * that are read: exec, which is public API, and code_size, which is not and is used as a hint alone.
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
  RECORDED_LOG2 = 10
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

/* Whether the last kernel at this address had the same name. An element that compiles its kernels again for each
 * instance gets them at the same addresses, and the segment's list of names is finite. Two threads at once may record a
 * kernel twice. */
static bool
was_recorded (uintptr_t start, int bytes, const char *text)
{
  static _Atomic uint64_t recorded[1 << RECORDED_LOG2];
  uint64_t hash = (uint64_t) start * 0x9e3779b97f4a7c15u;
  _Atomic uint64_t *place = &recorded[hash >> (64 - RECORDED_LOG2)];
  hash ^= (uint64_t) bytes;
  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char) *text) * 0x100000001b3u;
  return atomic_exchange_explicit (place, hash, memory_order_relaxed) == hash;
}

void *
gp_names_orc_take_code (void *program)
{
  char text[NAME_BYTES] = "";
  /* Acquire: pairs with the release of the redirect pass. The name is read first: it may be freed along with the code.
   */
  const char *(*get_name) (void *) = __atomic_load_n (&g_names_orc_get_name, __ATOMIC_ACQUIRE);
  if (atomic_load (&g_active) && get_name != NULL) {
    const char *name = get_name (program);
    if (name != NULL && name[0] != '\0')
      snprintf (text, sizeof text, "orc: %s", name);
  }
  struct orc_code *code = g_names_real_orc_take_code (program);
  /* Where ORC could not compile the program, exec is a function of some module, or NULL. */
  if (code != NULL && text[0] != '\0' && code->exec != NULL && code->code_size > 0 && code->code_size <= MAX_CODE_BYTES
      && gp_modules_listed ((uintptr_t) code->exec) == NULL
      && !was_recorded ((uintptr_t) code->exec, code->code_size, text))
    gp_names_add ((uintptr_t) code->exec, (uint32_t) code->code_size, text);
  return code;
}
