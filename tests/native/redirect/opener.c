/* SPDX-License-Identifier: MIT */
/* opener.c: a library that opens others, so that its own search path matters.
 *
 * Context: test.
 */
#include <dlfcn.h>

void *opener_open (const char *name, int mode);

void *
opener_open (const char *name, int mode)
{
  return dlopen (name, mode);
}
