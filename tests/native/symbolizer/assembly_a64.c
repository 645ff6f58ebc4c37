/* SPDX-License-Identifier: MIT */
/* assembly_a64.c: assembly without type, size or CFI, as x264 and FFmpeg have it for aarch64: each function begins
 * where the one before ends.
 *
 * Context: test.
 */
int caller (void);
char *pointer (void);
int called (void) __attribute__ ((visibility ("hidden")));
extern char pointed[] __attribute__ ((visibility ("hidden")));
extern char in_table[] __attribute__ ((visibility ("hidden")));

/* One is known to the loader, one to a call, one to code that takes its address. */
char *table[] = { in_table };

/* *INDENT-OFF* */
__asm__ (".text\n"
         ".p2align 4\n"
         ".globl first\n"
         "first:\n"
         "  nop\n"
         "  ret\n"
         "called:\n"
         "  mov w0, #1\n"
         "  add x1, x1, #4\n" /* of no adrp */
         "  ret\n"
         "in_table:\n"
         "  .rept 8\n"
         "  nop\n"
         "  .endr\n"
         "  ret\n"
         "pointed:\n"
         "  .rept 8\n"
         "  nop\n"
         "  .endr\n"
         "  ret\n");
/* *INDENT-ON* */

int
caller (void)
{
  return called () + 1;
}

char *
pointer (void)
{
  return pointed;
}
