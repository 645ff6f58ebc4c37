/* SPDX-License-Identifier: MIT */
/* small_stacks.c: a preload that gives the host's threads 128 KiB of stack each, as embedded systems do.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <pthread.h>

static __attribute__ ((constructor)) void
limit_stacks (void)
{
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setstacksize (&attr, 128 << 10);
  pthread_setattr_default_np (&attr);
  pthread_attr_destroy (&attr);
}
