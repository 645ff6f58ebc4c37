/* SPDX-License-Identifier: MIT */
/* no_thread.c: a preload by which the shim can start no thread of its own.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

int
pthread_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  int (*next) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *) = NULL;
  Dl_info caller;
  if (dladdr (__builtin_return_address (0), &caller) != 0 && strstr (caller.dli_fname, "/libgstpyro.so") != NULL)
    return EAGAIN;
  *(void **) &next = dlsym (RTLD_NEXT, "pthread_create");
  return next (id, attr, function, argument);
}
