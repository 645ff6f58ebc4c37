/* SPDX-License-Identifier: MIT */
/* late.c: preloaded, makes an embedded agent come up two seconds late, as a machine does that is busy.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

int
pthread_setname_np (pthread_t thread, const char *name)
{
  int (*real) (pthread_t, const char *) = NULL;
  *(void **) &real = dlsym (RTLD_NEXT, "pthread_setname_np");
  if (strcmp (name, "gst-pyro-agent") == 0)
    sleep (2);
  return real (thread, name);
}
