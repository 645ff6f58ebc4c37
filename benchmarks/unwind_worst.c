/* SPDX-License-Identifier: MIT */
/* unwind_worst.c: the dearest walks there are: the deepest stack, and scans of stacks made to mislead, which end with
 * the scan's budget. Prints a line for each: what, depth, ns of the first walk, ns of the median one.
 *
 * Context: benchmarks only.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include "shim/modules/modules.h"
#include "shim/signal/module_lookup.h"
#include "walks.h"

enum
{
  FRAMES_MAX = 8192, /* GP_MAX_FRAMES */
  WALKS = 100,
  DEAD_WORDS = 5000, /* more than the scan looks at */
  SCAN_DEPTH = 400   /* below it; too far for its steps */
};

static struct gp_stack g_stack;
static uint64_t g_frames[FRAMES_MAX];
static const char *g_what;

static void
take_samples (int number, siginfo_t *info, void *data)
{
  (void) number, (void) info;
  struct gp_regs regs = gp_regs_of (data);
  struct gp_walk_result result;
  uint64_t ns[WALKS];
  for (int i = 0; i < WALKS; i++) {
    uint64_t start = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
    gp_unwind (&regs, &g_stack, NULL, 0, NULL, g_frames, FRAMES_MAX, &result);
    ns[i] = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID) - start;
  }
  uint64_t first = ns[0];
  uint64_t median = median_ns (ns, WALKS);
  printf ("%s %u %llu %llu\n", g_what, result.depth, (unsigned long long) first, (unsigned long long) median);
}

__attribute__ ((noinline)) static int
go_deep (int depth, int (*leaf) (void))
{
  volatile int room = depth;
  return (depth > 0 ? go_deep (depth - 1, leaf) : leaf ()) + room;
}

static int
raise_there (void)
{
  return raise (SIGUSR1);
}

#if defined(__x86_64__)
/* Without CFI, above 36 KiB of what others have left on the stack. */
int raise_in_assembly (void);
__asm__ (".text\n"
         "raise_in_assembly:\n"
         "  sub $0x9000, %rsp\n"
         "  int3\n"
         "  add $0x9000, %rsp\n"
         "  xor %eax, %eax\n"
         "  ret\n");

static uintptr_t g_candidate; /* behind a call, in code with CFI */

__attribute__ ((noinline)) static void
take_candidate (void)
{
  g_candidate = (uintptr_t) __builtin_return_address (0);
}

/* True return addresses that lead nowhere. */
__attribute__ ((noinline)) static void
leave_candidates (void)
{
  volatile uintptr_t words[DEAD_WORDS];
  for (int i = 0; i < DEAD_WORDS; i++)
    words[i] = g_candidate;
}

/* Words that point all over libc: each is looked up. */
__attribute__ ((noinline)) static void
leave_pointers (void)
{
  volatile uintptr_t words[DEAD_WORDS];
  for (int i = 0; i < DEAD_WORDS; i++)
    words[i] = (uintptr_t) printf + (uintptr_t) i * 4099 % 600000;
}

static int
scan_candidates (void)
{
  take_candidate ();
  leave_candidates ();
  return raise_in_assembly ();
}

static int
scan_pointers (void)
{
  leave_pointers ();
  return raise_in_assembly ();
}
#endif

int
main (void)
{
  int fd;
  struct sigaction action = { .sa_sigaction = take_samples, .sa_flags = SA_SIGINFO };
  if (gp_segment_create (&fd) != 0)
    return 1;
  gp_modules_refresh ();
  g_stack = own_stack ();
  sigaction (SIGUSR1, &action, NULL);
  sigaction (SIGTRAP, &action, NULL);
  g_what = "deepest";
  go_deep (FRAMES_MAX, raise_there);
#if defined(__x86_64__)
  g_what = "candidates";
  go_deep (SCAN_DEPTH, scan_candidates);
  g_what = "pointers";
  go_deep (SCAN_DEPTH, scan_pointers);
#endif
  return 0;
}
