/* SPDX-License-Identifier: MIT */
/* module.c: a library that imports pthread_create and answer() in every way that a compiler has.
 *
 * Context: test. CONSTRUCTOR: starts threads while it is being loaded, and waits for them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>

int answer (int question);
int module_run (int how);

typedef int (*create_function) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

extern const create_function module_constant;
const create_function module_constant = pthread_create; /* absolute, in RELRO */
create_function module_variable = pthread_create;       /* absolute, writable */

static void *
work (void *data)
{
  return (void *) ((uintptr_t) data * 2 + (uintptr_t) answer (1));
}

int
module_run (int how)
{
  pthread_t id;
  void *result = NULL;
  create_function volatile pointer = pthread_create;
  int error = how == 0   ? pthread_create (&id, NULL, work, (void *) 20)
              : how == 1 ? pointer (&id, NULL, work, (void *) 20)
              : how == 2 ? module_constant (&id, NULL, work, (void *) 20)
                         : module_variable (&id, NULL, work, (void *) 20);
  if (error != 0)
    return -error;
  pthread_join (id, &result);
  return (int) (uintptr_t) result;
}

#ifdef CONSTRUCTOR
void host_spawn (int *done) __attribute__ ((weak));

static void *
spawn (void *data)
{
  /* From a thread that the constructor waits for, through a slot that is redirected already. */
  host_spawn (data);
  return NULL;
}

__attribute__ ((constructor)) static void
load (void)
{
  int done = 0;
  pthread_t id;
  pthread_create (&id, NULL, spawn, &done);
  pthread_join (id, NULL);
  module_variable = done == 1 ? module_variable : NULL;
}
#endif
