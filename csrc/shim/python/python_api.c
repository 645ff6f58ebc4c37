/* SPDX-License-Identifier: MIT */
/* python_api.c: looks up CPython's functions in the host.
 *
 * Context: lifecycle, on a thread of our own.
 */
#define _GNU_SOURCE
#include "shim/python/python_api.h"

#include <dlfcn.h>
#include <link.h>

struct gp_python_api g_python_api;

static uintptr_t g_code_lo, g_code_hi; /* of the interpreter */

/* Callback of dl_iterate_phdr. */
static int
find_code (struct dl_phdr_info *info, size_t bytes, void *known)
{
  (void) bytes;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW (Phdr) *segment = &info->dlpi_phdr[i];
    uintptr_t lo = info->dlpi_addr + segment->p_vaddr, hi = lo + segment->p_memsz;
    if (segment->p_type == PT_LOAD && (uintptr_t) known - lo < hi - lo) {
      g_code_lo = lo;
      g_code_hi = hi;
      return 1;
    }
  }
  return 0;
}

/* Not by dladdr(): it waits for the loader's lock, whose holder may wait for the calling thread. */
bool
gp_python_api_holds (const void *function)
{
  return (uintptr_t) function - g_code_lo < g_code_hi - g_code_lo;
}

bool
gp_python_api_load (void *known)
{
  /* The module is python3 itself, or a libpython, which may have been opened with RTLD_LOCAL. */
  Dl_info info;
  void *handle = NULL;
  if (dladdr (known, &info) != 0)
    handle = dlopen (info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL)
    handle = RTLD_DEFAULT;
  dl_iterate_phdr (find_code, known);
#define GP_LOOK_UP(type, name, arguments)                                                                              \
  *(void **) &g_python_api.name##_ = dlsym (handle, #name);                                                            \
  if (g_python_api.name##_ == NULL)                                                                                    \
    return false;
  GP_PYTHON_FUNCTIONS (GP_LOOK_UP)
#undef GP_LOOK_UP
  return true;
}
