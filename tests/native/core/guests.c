/* SPDX-License-Identifier: MIT */
/* guests.c: hosts that do odd things while they are sampled, and must not notice: locks, jumps, modules.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include "core.h"
#include "shim/signal/module_lookup.h"

enum
{
  RATE_HZ = 1000
};

/* All of the process's malloc uses one lock that is not recursive.
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

/* As every malloc does. This handler is set first of all, so it runs last before the fork. */
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

/* Makes threads, which allocate when they start and end, while the other one holds the lock for long. */
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
    uint64_t before = ticks_sampled ();
    burn (20000000);
    in_lock += ticks_sampled () - before;
    pthread_mutex_unlock (&g_malloc_lock);
    sched_yield ();
  }
  g_done = true;
  pthread_join (id, NULL);
  CHECK_WITHIN (in_lock, fewest_ticks (20 * 20000000), 1e6);
}
#endif

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
  CHECK_WITHIN (ticks_sampled (), fewest_ticks (500000000), 1e6);
  drain_to_the_end ();
}

static _Atomic bool g_reads, g_has_read;

/* As a handler whose thread is preempted while it reads a module's unwind tables. */
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

/* A reader that a fault ended, after which the host went on elsewhere. If it were waited for each time, this would take
 * minutes. */
TEST (a_reader_that_never_comes_back_is_waited_for_once)
{
  CHECK (gp_modules_enter ());
  for (int i = 0; i < 200; i++) {
    gp_modules_close_begin ();
    gp_modules_close_end ();
  }
  gp_modules_leave (); /* it does come back, after all: the next reader is waited for again */
  gp_modules_close_begin ();
  gp_modules_close_end ();
  check_that_a_reader_is_waited_for ();
}
