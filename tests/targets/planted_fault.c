/* SPDX-License-Identifier: MIT */
/* planted_fault.c: what a sanitizer has to find, in a library that is preloaded beside the shim.
 *
 * Context: test. With -DRACE two threads write one word; else a byte is written behind the end of a block.
 */
#include <pthread.h>
#include <stdlib.h>

static int g_word;

static void *
write_word (void *value)
{
  for (int i = 0; i < 100000; i++)
    *(volatile int *) &g_word = value != NULL;
  return NULL;
}

__attribute__ ((constructor)) static void
fault (void)
{
#ifdef RACE
  pthread_t other;
  if (pthread_create (&other, NULL, write_word, &g_word) != 0)
    return;
  write_word (NULL);
  pthread_join (other, NULL);
#else
  volatile char *block = malloc (4);
  if (block != NULL)
    block[4] = 1;
  free ((void *) block);
  write_word (NULL);
#endif
}
