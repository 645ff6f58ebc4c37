/* SPDX-License-Identifier: MIT */
/* sampling.c: ticks: how many samples there are, and by which clock.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <ucontext.h>
#include "core.h"

enum
{
  TOP = 1 << 20,
  RATE_HZ = 250
};

static uint64_t g_weight, g_label_weight[8], g_label_squares;
static uint32_t g_labels[8];

static void
weigh (const struct gp_record *record)
{
  g_weight += record->weight;
  for (int i = 0; i < 8; i++)
    if (g_labels[i] != 0 && record->label == g_labels[i]) {
      g_label_weight[i] += record->weight;
      g_label_squares += (uint64_t) record->weight * record->weight;
    }
}

/* Half a second of work in user code. */
static void
check_count (enum gp_clock clock)
{
  start_with (clock, RATE_HZ);
  drain (false, NULL);
  uint64_t before = cpu_ns ();
  while (cpu_ns () - before < 500000000)
    work (1000000);
  double expected = (double) (cpu_ns () - before) * RATE_HZ / 1e9;
  drain (false, weigh);
  /* Ticks are evenly spaced: one too many or too few at each end. A perf event does not count the kernel's time: the
   * timer samples calls of the clock, and nothing samples interrupts and switches of threads, 6 % on a crowded machine.
   * A timer waits for the kernel's tick. */
  CHECK_WITHIN (g_weight, expected * 0.92 - 2, expected * 1.04 + 2);
}

TEST (a_burning_thread_has_the_samples_of_its_cpu_by_perf)
{
  check_count (GP_CLOCK_PERF);
}

TEST (a_burning_thread_has_the_samples_of_its_cpu_by_timer)
{
  check_count (GP_CLOCK_TIMER);
}

/* Two labels, one to three, in stretches whose length is unrelated to the period. */
static void
check_shares (enum gp_clock clock)
{
  uintptr_t sp = (uintptr_t) __builtin_frame_address (0); /* the handler compares with the real one */
  start_with (clock, 1000);
  g_labels[0] = element ("little");
  g_labels[1] = element ("much");
  for (uint64_t end = cpu_ns () + 600000000, i = 0; cpu_ns () < end; i++) {
    uint32_t rounds = 100000 + (uint32_t) (i * 2654435761u >> 16) % 400000;
    enter (sp, g_labels[0]);
    work (rounds);
    leave (sp);
    enter (sp, g_labels[1]);
    work (3 * rounds);
    leave (sp);
  }
  gp_threads_publish (false);
  drain (false, weigh);
  double n = (double) (g_label_weight[0] + g_label_weight[1]);
  double truth = (double) accounted_ns (g_labels[0], -1);
  truth /= truth + (double) accounted_ns (g_labels[1], -1);
  /* As many draws as there are records of equal weight: a timer of 1000 Hz ticks at 250 Hz here, each for four. Four
   * standard deviations: one run in 16,000 fails by chance. */
  double draws = n * n / (double) g_label_squares;
  double error = 4 * sqrt (truth * (1 - truth) / draws);
  CHECK_WITHIN (n, 100, 2000);
  CHECK_WITHIN ((double) g_label_weight[0] / n, truth - error, truth + error);
}

TEST (samples_share_as_accounts_do_by_perf)
{
  check_shares (GP_CLOCK_PERF);
}

TEST (samples_share_as_accounts_do_by_timer)
{
  check_shares (GP_CLOCK_TIMER);
}

/* So many bursts of 5 ms, with a sleep after each. */
static void
burn_in_bursts (int bursts)
{
  for (int i = 0; i < bursts; i++) {
    burn (5000000);
    sleep_ns (100000);
  }
}

TEST (an_event_rests_while_its_thread_does_not_sleep)
{
  start_with (GP_CLOCK_PERF, 100);
  const struct gp_thread *thread = gp_thread_known ();
  CHECK_EQUAL (thread->event_rests, false);
  burn (400000000);
  CHECK_EQUAL (thread->event_rests, true);
  drain (false, NULL);
  uint64_t left_to_perf = counter (GP_COUNTER_TICKS_LEFT_TO_PERF), before = cpu_ns ();
  burn (400000000);
  CHECK_EQUAL (counter (GP_COUNTER_TICKS_LEFT_TO_PERF), left_to_perf);
  drain (false, weigh);
  double expected = (double) (cpu_ns () - before) * 100 / 1e9;
  CHECK_WITHIN (g_weight, expected - 2, expected + 2); /* by one clock, not by both */
  burn_in_bursts (20);
  CHECK_EQUAL (thread->event_rests, false);
}

/* As where no tick ever falls into a thread's work: without the timer no handler runs that would enable the event. */
TEST (an_event_that_rests_wakes_without_a_tick)
{
  start_with (GP_CLOCK_PERF, 100);
  struct gp_thread *thread = gp_thread_known ();
  burn (200000000);
  CHECK_EQUAL (thread->event_rests, true);
  gp_threads_publish (false);
  burn (50000000);
  CHECK_EQUAL (
      thread->event_rests, true); /* the thread did not sleep, even where the poller took preemption for sleep */
  syscall (SYS_timer_delete, thread->timer);
  gp_threads_publish (false);
  burn_in_bursts (20);
  sleep_ns (200000000);
  gp_threads_publish (false);
  CHECK_EQUAL (thread->event_rests, false);
  drain (false, NULL);
  burn_in_bursts (40);
  drain (false, weigh);
  CHECK_WITHIN (g_weight, 6, 25); /* 200 ms, of which the event sees what is user code */
}

TEST (an_event_does_not_rest_where_there_is_no_timer)
{
  start_with (GP_CLOCK_PERF, 100);
  gp_thread_known ()->timer = -1; /* as where a host may queue no more signals */
  burn (200000000);
  CHECK_EQUAL (gp_thread_known ()->event_rests, false);
}

TEST (an_event_does_not_rest_where_the_kernels_tick_is_too_coarse)
{
  start_with (GP_CLOCK_PERF, 1000);
  burn (200000000);
  CHECK_EQUAL (gp_thread_known ()->event_rests, false);
}

/* A host that works in the kernel only, which a perf event does not count. */
TEST (work_in_the_kernel_is_sampled_too)
{
  start_with (GP_CLOCK_PERF, RATE_HZ);
  drain (false, NULL);
  uint64_t before = cpu_ns ();
  while (cpu_ns () - before < 500000000) {
    for (int i = 0; i < 100; i++) {
      char name[256];
      if (readlink ("/proc/self/exe", name, sizeof name) < 0)
        abort ();
    }
  }
  double expected = (double) (cpu_ns () - before) * RATE_HZ / 1e9;
  drain (false, weigh);
  /* User and kernel time are sampled by two clocks, each with an error of its own at the ends; page faults and
   * interrupts by none. */
  CHECK_WITHIN (g_weight, expected * 0.7, expected * 1.1 + 4);
}

/* Whether a timer's tick at pc, beside a perf event, was taken for the kernel's time. */
static bool
tick_at (const void *pc, uintptr_t rcx)
{
  ucontext_t context;
  siginfo_t info = { .si_code = SI_TIMER };
  uint64_t left = counter (GP_COUNTER_TICKS_LEFT_TO_PERF);
  info.si_value.sival_ptr = gp_thread_known ();
  getcontext (&context);
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RIP] = (greg_t) (uintptr_t) pc;
  context.uc_mcontext.gregs[REG_RCX] = (greg_t) rcx;
#else
  (void) rcx;
  context.uc_mcontext.pc = (uintptr_t) pc;
#endif
  gp_handler (SIGURG, &info, &context);
  return counter (GP_COUNTER_TICKS_LEFT_TO_PERF) == left;
}

TEST (a_system_call_is_known_by_its_instruction)
{
  start_with (GP_CLOCK_PERF, 1);
#if defined(__x86_64__)
  static const unsigned char instruction[] = { 0x0f, 0x05 };
#else
  static const unsigned char instruction[] = { 0x01, 0x00, 0x00, 0xd4 };
#endif
  const char *call = memmem ((const void *) (uintptr_t) syscall, 64, instruction, sizeof instruction);
  if (call == NULL)
    skip ("this libc's syscall() looks otherwise");
  CHECK (tick_at (call + sizeof instruction, 0)); /* as with FRED */
  CHECK (tick_at (call, 0));                      /* to be made again */
  CHECK (!tick_at ((const void *) (uintptr_t) syscall, 0));
#if defined(__x86_64__)
  CHECK (tick_at ((const void *) (uintptr_t) syscall, (uintptr_t) syscall)); /* as without */
#endif
  /* In no module: nothing is read there. */
  CHECK (!tick_at ((const void *) 8, 0));
}

TEST (errno_is_kept)
{
  core_start (1000);
  uint32_t changed = 0;
  for (uint64_t end = cpu_ns () + 200000000; cpu_ns () < end;) {
    errno = 12345;
    work (20000);
    changed += *(volatile int *) &errno != 12345; /* which the compiler would take for unchanged */
  }
  CHECK_EQUAL (changed, 0);
  CHECK_WITHIN (counter (GP_COUNTER_SAMPLES), 50, 1000);
}

/* Where perf events are allowed no call may be interrupted by a tick: a host that polls is not prepared for it. */
TEST (no_system_call_of_the_host_is_interrupted)
{
  core_start (1000);
  uint32_t interrupted = 0;
  struct timespec time = { .tv_nsec = 20000 };
  for (uint64_t end = gp_clock_ns (CLOCK_MONOTONIC) + 500000000; gp_clock_ns (CLOCK_MONOTONIC) < end;) {
    work (100000);
    interrupted += nanosleep (&time, NULL) != 0;
  }
  CHECK_EQUAL (interrupted, 0);
}

static uint64_t g_thread_cpu;

static void *
burn_and_tell (void *ns)
{
  burn ((uint64_t) (uintptr_t) ns);
  g_thread_cpu = cpu_ns ();
  return NULL;
}

TEST (a_thread_that_inherited_a_blocked_signal_is_sampled)
{
  core_start (1000);
  sigset_t all, before;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pthread_t id;
  uint64_t ticks = ticks_sampled ();
  host_create (&id, NULL, burn_and_tell, (void *) 100000000);
  pthread_join (id, NULL);
  CHECK_WITHIN (ticks_sampled () - ticks, fewest_ticks (100000000), 150);
}

static void *
block_and_burn (void *unused)
{
  (void) unused;
  sigset_t all;
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, NULL);
  uint64_t before = cpu_ns ();
  burn (100000000);
  g_thread_cpu = cpu_ns () - before;
  return NULL;
}

TEST (a_thread_that_blocks_the_signal_still_has_its_account)
{
  core_start (1000);
  uint32_t label = element ("a");
  enter (TOP, label);
  pthread_t id;
  host_create (&id, NULL, block_and_burn, NULL);
  pthread_join (id, NULL);
  leave (TOP);
  CHECK_WITHIN (accounted_ns (label, 1), g_thread_cpu, g_thread_cpu + 2000000);
}

/* Many more threads than descriptors: the other threads have timers alone, and the host's descriptors stay free. */
TEST (descriptors_are_left_to_the_host)
{
  enum
  {
    THREADS = 60
  };
  struct rlimit limit = { .rlim_cur = 64, .rlim_max = 64 };
  setrlimit (RLIMIT_NOFILE, &limit);
  core_start (100);
  pthread_t ids[THREADS];
  for (int i = 0; i < THREADS; i++)
    host_create (&ids[i], NULL, burn_and_tell, (void *) 20000000);
  int free_numbers = 0;
  for (int i = 0; i < 48; i++)
    free_numbers += dup (0) >= 0;
  /* 0, 1, 2, the loader's or pytest's odd one */
  CHECK_WITHIN (free_numbers, 40, 48);
  for (int i = 0; i < THREADS; i++)
    pthread_join (ids[i], NULL);
  CHECK_EQUAL (counter (GP_COUNTER_UNARMED), 0);
}
