/* SPDX-License-Identifier: MIT */
/* guest_stacks.c: hosts with small stacks, alternate stacks, or none, are sampled and do not notice.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "core.h"

enum
{
  RATE_HZ = 1000
};

/* Uses the stack but for the bytes given as left, and burns CPU time there. */
static __attribute__ ((noinline)) void
burn_near_the_end (uintptr_t lo, size_t left)
{
  volatile char page[512];
  page[0] = 1;
  if ((uintptr_t) page - lo > left + sizeof page)
    burn_near_the_end (lo, left);
  else
    for (int i = 0; i < 1000; i++) /* a tenth of a second on a processor at 5 GHz */
      work (500000);
  page[1] = page[0];
}

static void *
use_all_stack (void *left)
{
  pthread_attr_t attr;
  void *lo;
  size_t bytes;
  pthread_getattr_np (pthread_self (), &attr);
  pthread_attr_getstack (&attr, &lo, &bytes);
  pthread_attr_destroy (&attr);
  burn_near_the_end ((uintptr_t) lo, (size_t) (uintptr_t) left);
  return NULL;
}

static void
small_stack (pthread_attr_t *attr)
{
  pthread_attr_init (attr);
  pthread_attr_setstacksize (attr, 16384);
}

/* Without an alternate stack the signal's frame alone would need more than the KiB that is left. */
TEST (a_thread_that_uses_up_a_stack_of_16_KiB_is_sampled)
{
  core_start (RATE_HZ);
  pthread_attr_t attr;
  pthread_t id;
  small_stack (&attr);
  CHECK_EQUAL (host_create (&id, &attr, use_all_stack, (void *) 1024), 0);
  pthread_join (id, NULL);
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 20, 1e6);
}

/* A thread that the poller finds gets an alternate stack after the second poll. Until then there must be place for a
 * signal's frame (AVX-512: 3.4 KiB). */
TEST (a_thread_found_by_polling_is_sampled_on_a_stack_of_16_KiB)
{
  core_start (RATE_HZ);
  pthread_attr_t attr;
  pthread_t id;
  small_stack (&attr);
  CHECK_EQUAL (pthread_create (&id, &attr, use_all_stack, (void *) 5000), 0);
  for (int i = 0; i < 10; i++) {
    gp_threads_poll (0);
    sleep_ns (5000000);
  }
  pthread_join (id, NULL);
  CHECK_EQUAL (counter (GP_COUNTER_THREADS_FOUND), 1);
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 20, 1e6);
}

static void *
start_elsewhere (void *unused)
{
  core_start (RATE_HZ);
  return unused;
}

static uint64_t g_to_the_root, g_leaves, g_records;

static void
note_end (const struct gp_record *record)
{
  g_records++;
  g_to_the_root += record->stack_end == GP_STACK_CFI;
}

/* Deeper than the stack was when it was found: 132 KiB are mapped at the start. */
static __attribute__ ((noinline)) void
burn_far_below (int frames)
{
  volatile char page[4096];
  page[0] = 1;
  if (frames > 0)
    burn_far_below (frames - 1);
  else
    burn (100000000);
  page[1] = page[0];
}

TEST (the_main_thread_is_unwound_where_the_tracer_came_up_on_another)
{
  pthread_t id;
  pthread_create (&id, NULL, start_elsewhere, NULL);
  pthread_join (id, NULL);
  burn (30000000);
  gp_threads_poll (0);
  drain (false, NULL);
  burn_far_below (200);
  drain (false, note_end);
  CHECK_WITHIN (g_records, fewest_records (100000000), 1e6);
  CHECK_WITHIN (g_to_the_root, g_records * 9 / 10, g_records);
}

static void *
burn_on_own_alternate_stack (void *unused)
{
  (void) unused;
  size_t bytes = 8192, page = 4096;
  char *memory = mmap (NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect (memory, page, PROT_NONE);
  stack_t own = { .ss_sp = memory + page, .ss_size = bytes }, now;
  if (sigaltstack (&own, NULL) != 0)
    return (void *) 2;
  burn (100000000);
  sigaltstack (NULL, &now);
  bool same = now.ss_sp == own.ss_sp && now.ss_size == bytes && (now.ss_flags & SS_DISABLE) == 0;
  return (void *) (uintptr_t) same;
}

/* As Rust's standard library does: 8 KiB, with a guard page below. */
TEST (a_thread_keeps_its_own_alternate_stack)
{
  core_start (RATE_HZ);
  pthread_t id;
  void *same = NULL;
  host_create (&id, NULL, burn_on_own_alternate_stack, NULL);
  pthread_join (id, &same);
  if (same == (void *) 2)
    skip ("8 KiB are too few for a signal's frame of this processor");
  CHECK_EQUAL (same, 1);
  CHECK_WITHIN (ticks_sampled (), fewest_ticks (100000000), 1e6);
}

static _Atomic uintptr_t g_entry; /* frame address of a handler that has just been entered */

static void
on_entry (int number)
{
  (void) number;
  atomic_store (&g_entry, (uintptr_t) __builtin_frame_address (0));
}

/* The bytes of stack that a signal takes on this processor before its handler has done anything. AT_MINSIGSTKSZ is too
 * large: it includes registers that a process must request first (AMX, 8 KiB). */
static size_t
signal_frame_bytes (void)
{
  static char memory[1 << 16];
  stack_t large = { .ss_sp = memory, .ss_size = sizeof memory }, before;
  struct sigaction entry = { .sa_handler = on_entry, .sa_flags = SA_ONSTACK };
  sigaltstack (&large, &before);
  sigaction (SIGUSR2, &entry, NULL);
  raise (SIGUSR2);
  sigaltstack (&before, NULL);
  return (uintptr_t) memory + sizeof memory - atomic_load (&g_entry);
}

static void *
burn_on_tiny_alternate_stack (void *unused)
{
  (void) unused;
  size_t page = 4096, bytes = signal_frame_bytes () + GP_UNWIND_STACK_BYTES / 2;
  char *memory = mmap (NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect (memory, page, PROT_NONE);
  stack_t own = { .ss_sp = memory + page, .ss_size = bytes };
  sigaltstack (&own, NULL);
  uint64_t before = counter (GP_COUNTER_STACKS_LEAF_ONLY);
  burn (100000000);
  g_leaves = counter (GP_COUNTER_STACKS_LEAF_ONLY) - before;
  own.ss_flags = SS_DISABLE;
  sigaltstack (&own, NULL);
  return NULL;
}

TEST (on_an_alternate_stack_without_room_only_the_leaf_is_sampled)
{
  core_start (RATE_HZ);
  pthread_t id;
  host_create (&id, NULL, burn_on_tiny_alternate_stack, NULL);
  pthread_join (id, NULL);
  CHECK_WITHIN (g_leaves, fewest_records (100000000), 1e6);
}

static void *
say_alternate_stack (void *into)
{
  burn (20000000);
  return sigaltstack (NULL, into) == 0 ? into : NULL;
}

TEST (a_thread_without_an_alternate_stack_is_lent_one)
{
  core_start (RATE_HZ);
  pthread_t id;
  stack_t now;
  host_create (&id, NULL, say_alternate_stack, &now);
  pthread_join (id, NULL);
  CHECK_EQUAL (now.ss_flags & SS_DISABLE, 0);
  CHECK_WITHIN (now.ss_size, 32768, 1 << 20);
}

static uint32_t g_entered;
static uint64_t g_under_entered, g_under_others;

static void
count_entered (const struct gp_record *record)
{
  g_under_entered += record->label == g_entered;
  g_under_others += record->label != g_entered && record->thread != gp_thread_slot (gp_thread_known ());
}

static void
burn_in_handler (int number)
{
  (void) number;
  burn (100000000);
}

static void *
raise_with_a_label (void *alternate)
{
  struct sigaction action = { .sa_handler = burn_in_handler, .sa_flags = SA_ONSTACK };
  stack_t own = { .ss_sp = alternate, .ss_size = 1 << 18 };
  uintptr_t sp = (uintptr_t) __builtin_frame_address (0);
  CHECK (own.ss_sp > (void *) sp);
  sigaltstack (&own, NULL);
  sigaction (SIGUSR1, &action, NULL);
  enter (sp, g_entered);
  raise (SIGUSR1);
  leave (sp);
  own.ss_flags = SS_DISABLE;
  sigaltstack (&own, NULL);
  return NULL;
}

/* All entries are below the alternate stack, as if their frames had returned. */
TEST (a_handler_on_an_alternate_stack_above_counts_for_the_label_it_interrupted)
{
  enum
  {
    HALF = 1 << 18
  };
  core_start (RATE_HZ);
  g_entered = element ("interrupted");
  char *memory = mmap (NULL, 2 * HALF, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attr;
  pthread_t id;
  pthread_attr_init (&attr);
  pthread_attr_setstack (&attr, memory, HALF);
  drain (false, NULL);
  CHECK_EQUAL (host_create (&id, &attr, raise_with_a_label, memory + HALF), 0);
  pthread_join (id, NULL);
  drain (false, count_entered);
  CHECK_WITHIN (g_under_entered, fewest_records (100000000), 200);
  CHECK_WITHIN (g_under_others, 0, 2); /* before it was entered, and after */
}

static void
on_fault (int number)
{
  (void) number;
  static const char said[] = "caught\n";
  if (write (STDOUT_FILENO, said, sizeof said - 1) < 0)
    _exit (3);
  _exit (0);
}

/* A crash reporter has room on the alternate stack that we lent. */
TEST (a_hosts_crash_handler_runs_on_the_lent_stack)
{
  core_start (RATE_HZ);
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0) {
    struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };
    sigaction (SIGSEGV, &action, NULL);
    raise (SIGSEGV);
    _exit (4);
  }
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 0);
}
