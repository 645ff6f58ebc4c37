/* SPDX-License-Identifier: MIT */
/* python_api.c: looks CPython's functions up in the host.
 *
 * Context: lifecycle, on our own thread.
 */
#define _GNU_SOURCE
#include "python_api.h"

#include <dlfcn.h>

struct gp_python_api g_python_api;

bool
gp_python_api_load (void *known)
{
  /* python3 itself, or a libpython, which may be open locally. */
  Dl_info info;
  void *handle = NULL;
  if (dladdr (known, &info) != 0)
    handle = dlopen (info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL)
    handle = RTLD_DEFAULT;
#define GP_LOOK_UP(type, name, arguments)                                                                              \
  *(void **) &g_python_api.name##_ = dlsym (handle, #name);                                                            \
  if (g_python_api.name##_ == NULL)                                                                                    \
    return false;
  GP_PYTHON_FUNCTIONS (GP_LOOK_UP)
#undef GP_LOOK_UP
  return true;
}
