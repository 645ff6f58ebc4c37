/* SPDX-License-Identifier: MIT */
/* guests.c: hosts that do odd things while they are sampled, and must not notice.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include "core.h"
#include "shim/base/gst_api.h"
#include "shim/stop/stop.h"
#include "shim/signal/module_lookup.h"
#include "shim/threads/own_thread.h"

enum
{
  TOP = 1 << 20,
  RATE_HZ = 1000
};

/* The whole process's malloc goes through a lock that is not recursive, and nothing but waiting for it happens in it.
 */
#if !SANITIZED
void *__libc_malloc (size_t);
void *__libc_calloc (size_t, size_t);
void *__libc_realloc (void *, size_t);
void __libc_free (void *);

static pthread_mutex_t g_malloc_lock = PTHREAD_MUTEX_INITIALIZER;

void *
malloc (size_t bytes)
{
  pthread_mutex_lock (&g_malloc_lock);
  void *memory = __libc_malloc (bytes);
  pthread_mutex_unlock (&g_malloc_lock);
  return memory;
}

void *
calloc (size_t n, size_t bytes)
{
  pthread_mutex_lock (&g_malloc_lock);
  void *memory = __libc_calloc (n, bytes);
  pthread_mutex_unlock (&g_malloc_lock);
  return memory;
}

void *
realloc (void *old, size_t bytes)
{
  pthread_mutex_lock (&g_malloc_lock);
  void *memory = __libc_realloc (old, bytes);
  pthread_mutex_unlock (&g_malloc_lock);
  return memory;
}

void
free (void *memory)
{
  pthread_mutex_lock (&g_malloc_lock);
  __libc_free (memory);
  pthread_mutex_unlock (&g_malloc_lock);
}

static void
lock_malloc (void)
{
  pthread_mutex_lock (&g_malloc_lock);
}

static void
unlock_malloc (void)
{
  pthread_mutex_unlock (&g_malloc_lock);
}

/* As every malloc does. First of all handlers to be set, so the last to run before the fork. */
static __attribute__ ((constructor)) void
keep_forks_apart (void)
{
  pthread_atfork (lock_malloc, unlock_malloc, unlock_malloc);
}

static _Atomic bool g_done;

static void *
come_and_go (void *unused)
{
  (void) unused;
  return malloc (10);
}

/* Makes threads, which allocate on their way in and out, while the other one holds the lock for long. */
static void *
churn (void *unused)
{
  (void) unused;
  while (!g_done) {
    pthread_t id;
    void *memory = NULL;
    host_create (&id, NULL, come_and_go, NULL);
    pthread_join (id, &memory);
    free (memory);
    gp_threads_poll (0);
    gp_threads_publish (true);
    free_ended ();
  }
  return NULL;
}

/* gperftools had this deadlock (its issue 412): a handler that allocates, in a thread that holds the lock of malloc. */
TEST (a_thread_that_holds_the_malloc_lock_is_sampled)
{
  core_start (RATE_HZ);
  pthread_t id;
  host_create (&id, NULL, churn, NULL);
  uint64_t in_lock = 0;
  for (int i = 0; i < 20; i++) {
    pthread_mutex_lock (&g_malloc_lock);
    uint64_t before = counter (GP_COUNTER_SAMPLES);
    burn (20000000);
    in_lock += counter (GP_COUNTER_SAMPLES) - before;
    pthread_mutex_unlock (&g_malloc_lock);
    sched_yield ();
  }
  g_done = true;
  pthread_join (id, NULL);
  CHECK_WITHIN (in_lock, fewest_records (20 * 20000000), 1e6);
}
#endif

static void
drain_to_the_end (void)
{
  drain (false, NULL);
  CHECK_EQUAL (g_segment->head, g_segment->tail); /* no record was left half written */
  CHECK_EQUAL (counter (GP_COUNTER_DROPPED_NESTED), 0);
}

static sigjmp_buf g_back;
static volatile sig_atomic_t g_jumps;

static void
jump (int number)
{
  (void) number;
  g_jumps++;
  siglongjmp (g_back, 1);
}

TEST (a_host_that_jumps_out_of_signal_handlers_never_jumps_out_of_ours)
{
  core_start (RATE_HZ);
  struct sigaction action = { .sa_handler = jump };
  struct itimerval often = { .it_interval = { .tv_usec = 200 }, .it_value = { .tv_usec = 200 } };
  sigaction (SIGALRM, &action, NULL);
  volatile uint64_t end = cpu_ns () + 500000000;
  sigsetjmp (g_back, 1);
  setitimer (ITIMER_REAL, &often, NULL);
  while (cpu_ns () < end)
    work (1000);
  memset (&often, 0, sizeof often);
  setitimer (ITIMER_REAL, &often, NULL);
  CHECK_WITHIN (g_jumps, 100, 1e6);
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), fewest_records (500000000), 1e6);
  drain_to_the_end ();
}

static void *
burn_until_cancelled (void *unused)
{
  (void) unused;
  pthread_setcanceltype (PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  for (;;)
    work (1000);
  return NULL;
}

TEST (a_thread_cancelled_at_any_moment_leaves_no_half_written_record)
{
  core_start (RATE_HZ);
  /* On a machine that gives them no time they take longer. */
  for (uint32_t i = 0; i < 150 || (counter (GP_COUNTER_SAMPLES) < 20 && i < 15000); i++) {
    pthread_t id;
    host_create (&id, NULL, burn_until_cancelled, NULL);
    sleep_ns (1000000 + i * 7919 % 1000000);
    pthread_cancel (id);
    pthread_join (id, NULL);
    free_ended ();
  }
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 20, 1e6);
  drain_to_the_end ();
}

static void *
do_nothing (void *unused)
{
  return unused;
}

/* Calls of ours that are cancellation points must not let a thread go with a lock of ours. */
TEST (a_thread_cancelled_at_its_start_leaves_the_registry_unlocked)
{
  core_start (RATE_HZ);
  for (int i = 0; i < 500; i++) {
    pthread_t id;
    host_create (&id, NULL, do_nothing, NULL);
    pthread_cancel (id);
    pthread_join (id, NULL);
    free_ended ();
  }
  CHECK_EQUAL (pthread_mutex_trylock (&g_registry), 0);
}

/* Leaves as much stack as said, and burns there. */
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

/* Without an alternate stack the signal's frame alone is more than the KiB that is left. */
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

/* Made behind our back it gets one after the second poll; until then a signal's frame (AVX-512: 3.4 KiB) must do. */
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

/* Deeper than it was when it was found: 132 KiB are mapped at the start. */
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
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), fewest_records (100000000), 1e6);
}

static _Atomic uintptr_t g_entry; /* frame address of a handler that has just been entered */

static void
on_entry (int number)
{
  (void) number;
  atomic_store (&g_entry, (uintptr_t) __builtin_frame_address (0));
}

/* What a signal takes of the stack on this processor before its handler has done anything. AT_MINSIGSTKSZ is no
 * measure: it has room for registers that a process must ask for first (AMX, 8 KiB). */
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

TEST (on_an_alternate_stack_without_room_the_leaf_must_do)
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

/* All that was entered lies below it, as if it had returned. */
TEST (a_handler_on_an_alternate_stack_above_works_for_whom_it_interrupted)
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

static _Atomic bool g_reads, g_has_read;

/* A handler whose thread is preempted as it reads a module's unwind tables. */
static void *
read_modules_slowly (void *unused)
{
  gp_modules_enter ();
  g_reads = true;
  sleep_ns (100000000);
  g_has_read = true;
  gp_modules_leave ();
  return unused;
}

static void
check_that_a_reader_is_waited_for (void)
{
  pthread_t id;
  pthread_create (&id, NULL, read_modules_slowly, NULL);
  while (!g_reads)
    sleep_ns (100000);
  gp_modules_close_begin ();
  CHECK (g_has_read);
  gp_modules_close_end ();
  pthread_join (id, NULL);
}

TEST (a_module_is_not_closed_while_a_handler_reads_it)
{
  check_that_a_reader_is_waited_for ();
}

/* One in whose midst a fault made the host go on elsewhere. Were it waited for each time, this would take minutes. */
TEST (a_reader_that_never_comes_back_is_waited_for_once)
{
  CHECK (gp_modules_enter ());
  for (int i = 0; i < 200; i++) {
    gp_modules_close_begin ();
    gp_modules_close_end ();
  }
  gp_modules_leave (); /* it does, after all: the next one is a reader as any */
  gp_modules_close_begin ();
  gp_modules_close_end ();
  check_that_a_reader_is_waited_for ();
}

/* daemon() and others: all descriptors closed, their numbers used anew. */
TEST (a_host_that_closes_all_descriptors_keeps_what_it_opens_next)
{
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  int number = gp_thread_known ()->perf_fd;
  int file = open ("/dev/null", O_RDONLY);
  CHECK_EQUAL (dup2 (file, number), number);
  burn (20000000);
  gp_threads_disarm ();
  CHECK_EQUAL (gp_thread_known ()->perf_fd, -1);
  CHECK_WITHIN (fcntl (number, F_GETFD), 0, 1);
}

static uint64_t g_whole_samples;

static void
count_whole (const struct gp_record *record)
{
  g_whole_samples += record->depth > 1;
}

TEST (a_host_that_closes_all_descriptors_is_sampled_again)
{
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  CHECK_EQUAL (close (gp_thread_known ()->perf_fd), 0);
  gp_threads_publish (false);
  drain (false, NULL);
  uint64_t before = cpu_ns ();
  work (400000000);
  drain (false, count_whole);
  /* A quarter of what there should be. */
  CHECK (g_whole_samples > (cpu_ns () - before) * RATE_HZ / 4 / 1000000000);
  int fd = gp_thread_known ()->perf_fd;
  gp_threads_publish (false);
  CHECK_EQUAL (gp_thread_known ()->perf_fd, fd);
}

static struct gp_thread *_Atomic g_other;
static _Atomic bool g_other_may_go;

static void *
burn_until_told (void *unused)
{
  g_other = gp_thread_known ();
  while (!g_other_may_go)
    work (100000);
  return unused;
}

/* The host closes the event of this thread, and another thread's gets its number. */
static pthread_t
lose_event_to_another (void)
{
  pthread_t id;
  core_start (RATE_HZ);
  if (g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  CHECK_EQUAL (close (gp_thread_known ()->perf_fd), 0);
  host_create (&id, NULL, burn_until_told, NULL);
  while (g_other == NULL)
    sleep_ns (100000);
  CHECK_EQUAL (g_other->perf_fd, gp_thread_known ()->perf_fd);
  return id;
}

static void
let_other_go (pthread_t id)
{
  g_other_may_go = true;
  pthread_join (id, NULL);
}

TEST (a_thread_whose_events_number_is_another_threads_gets_an_event_of_its_own)
{
  pthread_t id = lose_event_to_another ();
  int fd = g_other->perf_fd;
  gp_threads_publish (false);
  CHECK_EQUAL (g_other->perf_fd, fd);
  CHECK (gp_thread_known ()->perf_fd != fd);
  CHECK (gp_thread_has_event (gp_thread_known ()));
  let_other_go (id);
}

TEST (a_thread_that_is_disarmed_leaves_another_threads_event_open)
{
  pthread_t id = lose_event_to_another ();
  int fd = g_other->perf_fd;
  gp_sampler_disarm (gp_thread_known ());
  CHECK_EQUAL (fcntl (fd, F_GETFD), FD_CLOEXEC);
  let_other_go (id);
}

static uint64_t g_by_slot[2];

static void
count_by_slot (const struct gp_record *record)
{
  if (record->thread < 2)
    g_by_slot[record->thread] += record->weight;
}

/* Until the poller comes by: by its timer, and without a hand on the event that is not its own. */
TEST (a_thread_that_lost_its_event_to_another_is_sampled_beside_it)
{
  pthread_t id = lose_event_to_another ();
  drain (false, NULL);
  uint64_t before = cpu_ns (), before_other = gp_clock_ns (g_other->cpu_clock);
  while (cpu_ns () - before < 300000000)
    work (1000000);
  uint64_t ticks = (cpu_ns () - before) * RATE_HZ / 1000000000;
  uint64_t ticks_other = (gp_clock_ns (g_other->cpu_clock) - before_other) * RATE_HZ / 1000000000;
  drain (false, count_by_slot);
  CHECK_WITHIN (g_by_slot[gp_thread_slot (gp_thread_known ())], ticks / 2, ticks * 2);
  CHECK_WITHIN (g_by_slot[gp_thread_slot (g_other)], ticks_other / 2, ticks_other * 2);
  let_other_go (id);
}

static uint64_t
pending_signals_of_user (void)
{
  unsigned long used = 0;
  char line[256];
  FILE *status = fopen ("/proc/self/status", "re");
  while (status != NULL && fgets (line, sizeof line, status) != NULL)
    if (sscanf (line, "SigQ: %lu/", &used) == 1)
      break;
  fclose (status);
  return used;
}

static int
open_descriptors (void)
{
  int n = 0;
  for (int fd = 0; fd < 65536; fd++)
    n += fcntl (fd, F_GETFD) >= 0;
  return n;
}

static void *
live_shortly (void *unused)
{
  (void) unused;
  work (20000);
  return NULL;
}

static void *
poll_until_done (void *done)
{
  while (!atomic_load ((_Atomic bool *) done)) {
    gp_threads_poll (0);
    gp_threads_publish (true);
    free_ended ();
    drain (false, NULL);
    sleep_ns (1000000);
  }
  return NULL;
}

/* Timers count against the user's RLIMIT_SIGPENDING, in all his processes. */
TEST (two_thousand_short_threads_leave_nothing_behind)
{
  enum
  {
    BATCH = 20,
    BATCHES = SANITIZED ? 25 : 100
  };
  core_start (RATE_HZ);
  static _Atomic bool done;
  pthread_t poller, ids[BATCH];
  /* TSan makes a thread of its own with the first one, which is found */
  host_create (&ids[0], NULL, live_shortly, NULL);
  pthread_join (ids[0], NULL);
  gp_threads_poll (0);
  int descriptors = open_descriptors ();
  uint64_t signals = pending_signals_of_user ();
  pthread_create (&poller, NULL, poll_until_done, &done);
  for (int i = 0; i < BATCHES; i++) {
    for (int k = 0; k < BATCH; k++) {
      /* every other one behind our back */
      int (*create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *) =
          k % 2 ? host_create : pthread_create;
      CHECK_EQUAL (create (&ids[k], NULL, live_shortly, NULL), 0);
    }
    for (int k = 0; k < BATCH; k++)
      pthread_join (ids[k], NULL);
  }
  done = true;
  pthread_join (poller, NULL);
  /* a thread is joined a moment before the kernel has done with it */
  for (int i = 0; i < 1000 && open_descriptors () != descriptors; i++) {
    sleep_ns (1000000);
    gp_threads_poll (0);
  }
  CHECK_EQUAL (open_descriptors (), descriptors);
  /* other processes of the user count too: the leak would be of 2,000 */
  CHECK_WITHIN ((double) pending_signals_of_user () - (double) signals, -1e6, 200);
  CHECK_EQUAL (counter (GP_COUNTER_UNARMED), 0);
  CHECK_WITHIN (g_segment->threads_taken.words_used, 1, 4);
}

static _Atomic bool g_stop;
static _Atomic int g_burning;

static void *
burn_with_labels (void *label)
{
  bool first = true;
  while (!g_stop) {
    enter (TOP, *(uint32_t *) label);
    work (1000);
    leave (TOP);
    g_burning += first;
    first = false;
  }
  return NULL;
}

static int
use_child (uint32_t *label)
{
  pthread_t id;
  if (atomic_load (&g_active))
    return 1;
  void *volatile memory = malloc (100000);
  free (memory);
  if (host_create (&id, NULL, live_shortly, NULL) != 0 || pthread_join (id, NULL) != 0)
    return 2;
  void *library = dlopen ("libm.so.6", RTLD_NOW);
  if (library == NULL || dlclose (library) != 0)
    return 3;
  /* its own thread's label goes on to be what it was: nothing of the child's is written to the parent's accounts */
  (void) label;
  burn (2000000);
  return 0;
}

TEST (a_forked_child_is_usable_and_not_profiled)
{
  core_start (RATE_HZ);
  static uint32_t label;
  label = element ("a");
  pthread_t ids[3];
  for (int i = 0; i < 3; i++)
    host_create (&ids[i], NULL, burn_with_labels, &label);
  /* From here on they allocate nothing: ASan's malloc does not keep forks apart. */
  while (g_burning < 3)
    sleep_ns (1000000);
  for (int i = 0; i < 40; i++) {
    pid_t child = fork ();
    if (child == 0)
      _exit (use_child (&label));
    int status = -1;
    waitpid (child, &status, 0);
    CHECK_EQUAL (status, 0);
  }
  g_stop = true;
  for (int i = 0; i < 3; i++)
    pthread_join (ids[i], NULL);
  CHECK_EQUAL (counter (GP_COUNTER_FOREIGN_SIGNALS), 0);
  drain_to_the_end ();
}

/* As some runtimes and sandboxes fork: no handler of pthread_atfork() runs. */
TEST (a_child_of_a_raw_clone_is_not_profiled)
{
  core_start (RATE_HZ);
  fflush (stdout);
  pid_t child = (pid_t) syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0)
    _exit (use_child (NULL));
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 0);
  CHECK (atomic_load (&g_active));
}

static _Atomic bool g_in_the_log;

static void
log_for_ever (GstDebugCategory *category, GstDebugLevel level, const gchar *file, const gchar *function, gint line,
    GObject *object, const gchar *format, ...)
{
  (void) category, (void) level, (void) file, (void) function, (void) line, (void) object, (void) format;
  g_in_the_log = true;
  for (;;)
    pause ();
}

static void *
log_a_line (void *unused)
{
  gp_gst_log (GST_LEVEL_INFO, "a line");
  return unused;
}

/* A child that calls gst_deinit() while the parent's poller was at a line for the log. */
TEST (a_forked_child_takes_the_tracer_down_without_waiting_for_the_parents_threads)
{
  static GstDebugCategory category = { .threshold = GST_LEVEL_INFO };
  pthread_t id;
  core_start (RATE_HZ);
  g_gst.category = &category;
  g_gst.gst_debug_log_ = log_for_ever;
  pthread_create (&id, NULL, log_a_line, NULL);
  while (!g_in_the_log)
    sleep_ns (100000);
  fflush (stdout);
  pid_t child = fork ();
  if (child == 0) {
    alarm (5); /* ends it where it hangs */
    gp_stop_at_dispose ();
    _exit (7);
  }
  int status = -1;
  waitpid (child, &status, 0);
  CHECK_EQUAL (status, 7 << 8);
}

static _Atomic int g_policy = -1;

static void *
say_policy (void *unused)
{
  g_policy = sched_getscheduler (0);
  return unused;
}

/* What its threads do at once has the time of the agent, and of Python in it, for a neighbour. */
TEST (threads_of_ours_in_a_real_time_host_are_ordinary_ones)
{
  struct sched_param priority = { .sched_priority = 1 };
  if (sched_setscheduler (0, SCHED_FIFO, &priority) != 0)
    skip ("real-time priority is not permitted here");
  core_start (RATE_HZ);
  CHECK_EQUAL (gp_own_thread_start (say_policy, NULL, "ours"), 0);
  while (g_policy < 0)
    sleep_ns (100000);
  CHECK_EQUAL (g_policy, SCHED_OTHER);
  CHECK_EQUAL (sched_getscheduler (0), SCHED_FIFO);
}

/* The harness runs this many times: the status must be the host's own. */
static void
exit_while_sampled (unsigned delay_us)
{
  core_start (RATE_HZ);
  static uint32_t label;
  label = element ("a");
  for (int i = 0; i < 4; i++) {
    pthread_t id;
    host_create (&id, NULL, burn_with_labels, &label);
  }
  sleep_ns (delay_us * 1000ull);
  exit (42);
}

TEST (exit_during_sampling_keeps_the_status)
{
  for (unsigned i = 0; i < 30; i++) {
    pid_t child = fork ();
    if (child == 0)
      exit_while_sampled (i * 500);
    int status = 0;
    waitpid (child, &status, 0);
    CHECK_EQUAL (status, 42 << 8);
  }
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

/* A crash reporter on the lent alternate stack has room for what it does. */
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
