/* SPDX-License-Identifier: MIT */
/* host.c: a module of the host's own; what it calls goes through import slots, which the shim redirects.
 *
 * Context: tests.
 */
#include <pthread.h>

int host_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument);

int
host_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  return pthread_create (id, attr, function, argument);
}
