/* SPDX-License-Identifier: MIT */
/* plugin.c: a library that is loaded and unloaded while its functions are sampled.
 *
 * Context: tests only.
 */
#include <stdlib.h>

int plugin_work (int rounds, int (*callback) (int));

static int (*volatile g_callback) (int);

static int
compare (const void *a, const void *b)
{
  int left = *(const int *) a, right = *(const int *) b;
  return g_callback (left) - g_callback (right);
}

int
plugin_work (int rounds, int (*callback) (int))
{
  int values[64], sum = 0;
  g_callback = callback;
  for (int i = 0; i < rounds; i++) {
    for (int k = 0; k < 64; k++)
      values[k] = (k * 37 + i) % 64;
    qsort (values, 64, sizeof values[0], compare);
    sum += values[i % 64];
  }
  return sum;
}
