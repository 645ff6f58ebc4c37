/* SPDX-License-Identifier: MIT */
/* module.c: functions to be looked up: exported, static, inlined, and assembly without type, size or CFI.
 *
 * Context: test.
 */
int exported_first (int x);
int exported_last (int x);
int asm_routine (void);
char *exported_pointer (void);
extern char asm_helper[] __attribute__ ((visibility ("hidden")));
extern char sized_helper[] __attribute__ ((visibility ("hidden")));

/* One is known to the loader, the other to code. */
char *exported_table[] = { asm_helper };

static volatile int g_sink;

static inline __attribute__ ((always_inline)) int
innermost (int x)
{
  g_sink = x; /* line of innermost */
  return x + g_sink;
}

static inline __attribute__ ((always_inline)) int
middle (int x)
{
  return innermost (x * 3) + 1; /* line of middle */
}

static __attribute__ ((noinline)) int
hidden (int x)
{
  for (int i = 0; i < x; i++)
    g_sink += i;
  return g_sink;
}

int
exported_first (int x)
{
  return hidden (x) + 1;
}

/* *INDENT-OFF* */
__asm__ (".text\n"
         ".p2align 4\n"
         ".globl asm_routine\n"
         "asm_routine:\n"
         "  xorl %eax, %eax\n"
         "  .skip 40, 0x90\n"
         "  ret\n"
         ".p2align 4\n"
         "asm_helper:\n"
         "  .skip 60, 0x90\n"
         "asm_helper.loop:\n"
         "  .skip 30, 0x90\n"
         "  ret\n"
         ".p2align 4\n"
         "sized_helper:\n"
         "  .skip 60, 0x90\n"
         "  ret\n"
         ".p2align 4\n"
         "  .skip 30, 0x90\n"
         "  .size sized_helper, . - sized_helper\n"
         "  .type sized_helper, @function\n");
/* *INDENT-ON* */

char *
exported_pointer (void)
{
  return sized_helper;
}

int
exported_last (int x)
{
  return middle (x) + hidden (x + 1) + asm_routine (); /* line of exported_last */
}
