/* SPDX-License-Identifier: MIT */
/* stack_budget.c: how much stack the handler uses, measured on a painted alternate stack.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include "core.h"

enum
{
  STACK_BYTES = 1 << 18,
  PAINT = 0xa5,
  RATE_HZ = 1000,
  BURN_MS = 100,
  DEPTH = 3000
};

static unsigned char *g_stack;
static uintptr_t g_entry; /* frame address of a handler that has just been entered */
static uint32_t g_a, g_b;

/* No CFI: the walk must scan. */
__asm__ (".pushsection .text\n"
         ".type bare_code, @function\n"
         "bare_code:\n"
#if defined(__x86_64__)
         "  push %rbx\n"
         "  mov %rdi, %rbx\n"
         "1: dec %rbx\n"
         "  jnz 1b\n"
         "  pop %rbx\n"
#else
         "1: subs x0, x0, #1\n"
         "  b.ne 1b\n"
#endif
         "  ret\n"
         ".size bare_code, . - bare_code\n"
         ".popsection\n");
void bare_code (uint64_t rounds);

static void
on_entry (int number)
{
  (void) number;
  g_entry = (uintptr_t) __builtin_frame_address (0);
}

/* A signal frame in the midst of the stack: its CFI is DWARF expressions. */
static void
on_burn (int number)
{
  (void) number;
  burn (BURN_MS * 1000000u);
}

static void
in_bare_code (void)
{
  for (uint64_t end = cpu_ns () + BURN_MS * 1000000u; cpu_ns () < end;)
    bare_code (100000);
}

static void
in_signal_frame (void)
{
  raise (SIGUSR1);
}

static void
in_plain_code (void)
{
  burn (BURN_MS * 1000000u);
}

/* Labels alternate, so that each frame has a boundary right above it. */
static __attribute__ ((noinline)) void
descend (int depth, void (*leaf) (void))
{
  uintptr_t sp = (uintptr_t) __builtin_frame_address (0) + 16;
  enter (sp, depth % 2 ? g_a : g_b);
  if (depth > 0)
    descend (depth - 1, leaf);
  else
    leaf ();
  leave (sp);
}

/* Bytes used below the handler's own frame address. */
static uintptr_t
used (void)
{
  size_t clean = 0;
  while (clean < STACK_BYTES && g_stack[clean] == PAINT)
    clean++;
  return g_entry - ((uintptr_t) g_stack + clean);
}

static void
start (void)
{
  g_stack = mmap (NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack = { .ss_sp = g_stack, .ss_size = STACK_BYTES };
  struct sigaction entry = { .sa_handler = on_entry, .sa_flags = SA_ONSTACK };
  struct sigaction burning = { .sa_handler = on_burn };
  sigaltstack (&stack, NULL);
  sigaction (SIGUSR1, &burning, NULL);
  sigaction (SIGUSR2, &entry, NULL);
  raise (SIGUSR2);
  memset (g_stack, PAINT, STACK_BYTES);
  core_start (RATE_HZ);
  g_a = element ("a");
  g_b = element ("b");
}

TEST (the_handler_fits_its_budget)
{
  static const struct
  {
    const char *name;
    void (*leaf) (void);
  } leaves[] = { { "plain code", in_plain_code }, { "code without CFI", in_bare_code },
    { "a signal frame", in_signal_frame } };
  start ();
  for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
    uint64_t before = counter (GP_COUNTER_SAMPLES);
    descend (DEPTH, leaves[i].leaf);
    drain (false, NULL);
    CHECK_WITHIN (counter (GP_COUNTER_SAMPLES) - before, 1, 1e9);
    printf ("%s: %zu bytes\n", leaves[i].name, (size_t) used ());
    /* A quarter is left for other compilers and for what the unwinder may yet learn. */
    CHECK_WITHIN (used (), 256, GP_UNWIND_STACK_BYTES * 3 / 4);
  }
  CHECK_WITHIN (counter (GP_COUNTER_STACKS_LEAF_ONLY), 0, 0);
}

/* Rust gives its threads 8 KiB, and so does whoever asks for SIGSTKSZ. Where the processor's own frame takes more than
 * half of that (AMX in use), there is no room for the unwinder, which has to see it: guest_stacks.c. */
TEST (the_handler_fits_an_alternate_stack_of_8_KiB)
{
  start ();
  uintptr_t frame = (uintptr_t) g_stack + STACK_BYTES - g_entry;
  descend (DEPTH, in_bare_code);
  uintptr_t room = frame <= 8192 - GP_UNWIND_STACK_BYTES ? 8192 : frame + GP_UNWIND_STACK_BYTES;
  printf ("frame %zu, handler %zu bytes\n", (size_t) frame, (size_t) used ());
  CHECK_WITHIN (frame + used (), frame + 1, room);
}
