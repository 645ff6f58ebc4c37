/* SPDX-License-Identifier: MIT */
/* library_that_blocks.c: a library whose constructor says so, and never returns, with the loader's lock held. At the
 * next line on stdin it ends the program by exit(). Linked without RELRO, it gives no sign that it is relocated.
 *
 * Context: tests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;
char ***g_bound = &environ; /* something to relocate */

static __attribute__ ((constructor)) void
block (void)
{
  printf ("inside\n");
  fflush (stdout);
  if (getchar () == '\n')
    exit (7);
  for (;;)
    pause ();
}
