/* SPDX-License-Identifier: MIT */
/* lookup.c: looks up addresses of a file with csrc/agent/symbolizer*.c, and prints a line for each.
 *
 *   lookup FILE BUILD_ID symbols|all ADDRESS…     each as hex without 0x
 *
 * A line: start of the function in hex, then for each frame, innermost first, name|file|line, all separated by tabs.
 *
 * Context: test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/symbolizer.h"

int
main (int argc, char **argv)
{
  uint32_t status;
  struct gp_elf_file *elf;
  if (argc < 4)
    return 64;
  elf = gp_elf_open (argv[1], argv[2], &status);
  if (elf == NULL) {
    printf ("status %u\n", status);
    return 0;
  }
  for (int i = 4; i < argc; i++) {
    struct gp_symbols symbols;
    gp_elf_lookup (elf, strtoull (argv[i], NULL, 16), strcmp (argv[3], "symbols") == 0, &symbols);
    printf ("%llx", (unsigned long long) symbols.start);
    for (uint32_t k = 0; k < symbols.count; k++) {
      const struct gp_symbol *frame = &symbols.frames[k];
      printf (
          "\t%s|%s|%u", frame->name != NULL ? frame->name : "", frame->file != NULL ? frame->file : "", frame->line);
    }
    printf ("\n");
  }
  gp_elf_close (elf);
  return 0;
}
