/* SPDX-License-Identifier: MIT */
/* core.h: what the tests of the shim's core share: tests by name, a start without GStreamer, functions that use CPU
 * time, and the agent's side in the same process.
 *
 * Context: tests.
 */
#ifndef GP_CORE_H
#define GP_CORE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "shim/labels/account.h"
#include "shim/redirect/redirect.h"
#include "shim/labels/label.h"
#include "shim/modules/modules.h"
#include "agent/reader.h"
#include "shim/signal/ring.h"
#include "shim/threads/sampler.h"
#include "shared/row_table.h"
#include "shim/threads/thread.h"
#include "shim/calls/trampoline.h"
#include "shim/signal/handler.h"
#include "shim/calls/redirected_calls.h"
#include "../unwind/check.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define UNUSED __attribute__ ((unused))

/* host.c */
int host_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument);

static struct check_test g_tests[64];
static int g_test_count;

/* One test. The harness finds it by this line, and runs it in a process of its own. */
#define TEST(name_)                                                                                                    \
  static void name_ (void);                                                                                            \
  static __attribute__ ((constructor)) void register_##name_ (void)                                                    \
  {                                                                                                                    \
    g_tests[g_test_count++] = (struct check_test) CHECK_TEST (name_);                                                  \
  }                                                                                                                    \
  static void name_ (void)

int
main (int argc, char **argv)
{
  return check_main (argc, argv, g_tests, g_test_count);
}

/* Checks that a is within [low, high]; prints it where it is not. */
#define CHECK_WITHIN(a, low, high)                                                                                     \
  do {                                                                                                                 \
    double a_ = (double) (a), low_ = (double) (low), high_ = (double) (high);                                          \
    if (a_ < low_ || a_ > high_) {                                                                                     \
      printf ("%s:%d: %s is %g, not within %g and %g\n", __FILE__, __LINE__, #a, a_, low_, high_);                     \
      g_failures++;                                                                                                    \
    }                                                                                                                  \
  } while (0)

UNUSED static _Noreturn void
skip (const char *why)
{
  printf ("%s\n", why);
  fflush (stdout);
  _exit (77);
}

static void
core_forked (void)
{
  atomic_store (&g_active, false);
}

/* As gp_start(), without a tracer and without an agent. */
UNUSED static void
core_start (uint32_t rate_hz)
{
  int fd;
  if (gp_segment_create (&fd) != 0)
    abort ();
  close (fd);
  gp_label_init ();
  g_segment->sample_rate_hz = rate_hz;
  gp_account_calibrate ();
  if (gp_threads_init () != 0)
    abort ();
  pthread_atfork (NULL, NULL, core_forked);
  gp_modules_refresh ();
  gp_sampler_start (rate_hz);
  gp_thread_current ();
  gp_redirected_calls_init ();
  atomic_store (&g_active, true);
  gp_redirect_pass ();
  gp_threads_poll (gp_label_fixed (GP_LABEL_BEFORE));
}

/* The same with one of the clocks; skips the test where that is perf, and perf events are not allowed. */
UNUSED static void
start_with (enum gp_clock clock, uint32_t rate_hz)
{
  core_start (rate_hz);
  if (clock == GP_CLOCK_PERF && g_segment->clock != GP_CLOCK_PERF)
    skip ("perf events are not allowed here");
  if (g_segment->clock != clock) {
    /* all threads are armed again with the other clock */
    gp_threads_disarm ();
    gp_store (&g_segment->clock, clock);
    gp_threads_arm ();
  }
}

/* A new element's label; the reference is the element's, which lives until gp_label_gone(). */
UNUSED static uint32_t
element (const char *name)
{
  static __thread uint32_t factory;
  if (factory == 0)
    factory = gp_strings_add ("factory");
  return gp_label_make (GP_LABEL_ELEMENT, name, factory, 0, false);
}

UNUSED static uint32_t
bin (const char *name)
{
  return gp_label_make (GP_LABEL_STATE_CHANGE, name, 0, 0, false);
}

UNUSED static uint64_t
counter (enum gp_counter which)
{
  return gp_load (&g_segment->counters[which]);
}

UNUSED static uint64_t
cpu_ns (void)
{
  return gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
}

/* Tolerances of a sum of accounts. The test reads the clock a little before or after the shim does: a few times 0.5 us,
 * and some 10 us where other load on the machine interrupts in between. Hence 0.1 % of half a second, and 100 us. */
UNUSED static const double PART = 0.001;
UNUSED static const double READS_NS = 100000;

UNUSED static uint32_t
own_slot (void)
{
  return gp_thread_slot (gp_thread_known ());
}

/* The fewest records to expect of so much CPU time of one thread: a fourth of those that are due. A timer alone, where
 * perf events are not allowed, waits for the kernel's tick; some kernels have a hundred a second. */
UNUSED static double
fewest_records (uint64_t ns)
{
  struct timespec tick = { 0 };
  clock_getres (CLOCK_MONOTONIC_COARSE, &tick);
  bool ticks = g_segment->clock == GP_CLOCK_TIMER && (uint64_t) tick.tv_nsec > g_interval_ns;
  return (double) ns / (double) (ticks ? (uint64_t) tick.tv_nsec : g_interval_ns) / 4;
}

/* Ticks that the records so far stand for: on a loaded machine few records may stand for many. */
UNUSED static uint64_t
ticks_sampled (void)
{
  return counter (GP_COUNTER_SAMPLES) + counter (GP_COUNTER_TICKS_OVERRUN);
}

/* The fewest ticks to expect of so much CPU time of one thread: a fourth of those that are due. */
UNUSED static double
fewest_ticks (uint64_t ns)
{
  return (double) ns / (double) g_interval_ns / 4;
}

/* Work that takes the same number of instructions each time; returns something to keep it from being optimized out. */
UNUSED static __attribute__ ((noinline)) uint64_t
work (uint32_t rounds)
{
  uint64_t x = rounds;
  for (uint32_t i = 0; i < rounds; i++)
    __asm__ volatile ("" : "+r"(x));
  return x;
}

/* Uses so much CPU time, however long that takes. */
UNUSED static __attribute__ ((noinline)) void
burn (uint64_t ns)
{
  for (uint64_t end = cpu_ns () + ns; cpu_ns () < end;)
    work (2000);
}

UNUSED static void
sleep_ns (uint64_t ns)
{
  struct timespec time = { .tv_sec = (time_t) (ns / 1000000000), .tv_nsec = (long) (ns % 1000000000) };
  while (nanosleep (&time, &time) != 0 && errno == EINTR)
    continue;
}

/* Enters a label as a hook does whose caller's stack pointer is sp. */
UNUSED static void
enter (uintptr_t sp, uint32_t label)
{
  gp_label_push (gp_thread_known (), (struct gp_boundary) { .pc = 1, .sp = sp, .bp = sp, .label = label });
}

UNUSED static void
leave (uintptr_t sp)
{
  gp_label_pop (gp_thread_known (), sp);
}

/* Other elements come and go on this thread, so that it sweeps out the labels of elements that are gone. */
UNUSED static void
others_come_and_go (uint32_t count, uintptr_t sp)
{
  for (uint32_t i = 0; i < count; i++) {
    uint32_t other = element ("other");
    enter (sp, other);
    leave (sp);
    gp_label_gone (other);
  }
}

/* The agent's side: CPU time, in ns, of the accounts of one label (0: all) and of one slot (-1: all). */
UNUSED static uint64_t
accounted_ns (uint32_t label, int64_t slot)
{
  static struct gp_account_row rows[GP_ACCOUNTS];
  uint32_t n = gp_reader_accounts (g_segment, rows, GP_ACCOUNTS);
  uint64_t ns = 0;
  for (uint32_t i = 0; i < n && i < GP_ACCOUNTS; i++)
    if ((label == 0 || rows[i].label == label) && (slot < 0 || rows[i].thread == (uint32_t) slot))
      ns += rows[i].ns;
  return ns;
}

/* Drains all there is; calls function with each record. Returns their number. */
UNUSED static uint64_t
drain (bool final, void (*function) (const struct gp_record *))
{
  static _Alignas (8) char buffer[(sizeof (struct gp_record) + UINT16_MAX * 8) * 2];
  uint64_t records = 0;
  struct gp_drained drained;
  do {
    gp_reader_drain (g_segment, buffer, sizeof buffer, final, &drained);
    for (uint64_t at = 0; at < drained.bytes;) {
      const struct gp_record *record = (const struct gp_record *) (buffer + at);
      if (function != NULL)
        function (record);
      at += record->words * 8;
    }
    records += drained.records;
    CHECK_EQUAL (drained.corrupt_words, 0);
  } while (drained.records > 0);
  return records;
}

/* Once nobody is sampled any more. */
UNUSED static void
drain_to_the_end (void)
{
  drain (false, NULL);
  CHECK_EQUAL (g_segment->head, g_segment->tail); /* each record is committed */
  CHECK_EQUAL (counter (GP_COUNTER_DROPPED_NESTED), 0);
}

/* Reads and frees the rows that have ended, as the agent does. Returns their CPU time, in ns. */
UNUSED static uint64_t
free_ended (void)
{
  static struct gp_thread_row threads[GP_THREADS];
  static struct gp_account_row accounts[256];
  static uint32_t rows[GP_LABELS];
  static uint64_t emitted[GP_ACCOUNTS];
  uint64_t ns = 0;
  uint32_t from = 0, labels = gp_reader_ended_labels (g_segment, &from, rows, GP_LABELS);
  uint32_t ended = gp_reader_threads (g_segment, 1, threads, GP_THREADS);
  for (from = 0; from != GP_NO_ROW;)
    for (uint32_t i = gp_reader_take_accounts (g_segment, emitted, 1, &from, accounts, 256); i > 0; i--)
      ns += accounts[i - 1].ns;
  static uint64_t keys[GP_LABELS];
  for (uint32_t i = 0; i < labels; i++)
    keys[i] = (uint64_t) g_segment->labels[rows[i]].serial << GP_LABEL_BITS | rows[i];
  gp_reader_free_labels (g_segment, keys, labels);
  for (uint32_t i = 0; i < ended; i++)
    rows[i] = threads[i].slot;
  gp_reader_free_threads (g_segment, rows, ended);
  return ns;
}

/* Number of rows of a table that are in use. */
UNUSED static uint32_t
rows_in_use (const uint64_t *bits, uint32_t words)
{
  uint32_t rows = 0;
  for (uint32_t i = 0; i < words; i++)
    rows += (uint32_t) __builtin_popcountll (bits[i]);
  return rows;
}

#endif
