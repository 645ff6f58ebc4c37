/* SPDX-License-Identifier: MIT */
/* thread_poll.c: what the poller does about threads: finds those made behind our back (raw clone, pthread_create by
 * dlsym, all that were there before the tracer), ends those that vanished, closes the accounts of all.
 *
 * Context: poller; the first pass is lifecycle, on the thread that makes the tracer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "kernel.h"
#include "label.h"
#include "sampler.h"
#include "thread.h"

/* How far down the main thread's stack may grow. */
static uintptr_t
lowest_of_main (uintptr_t hi, uintptr_t lo, uintptr_t end_of_previous)
{
  struct rlimit limit;
  if (getrlimit (RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= hi)
    return lo;
  uintptr_t lowest = hi - limit.rlim_cur;
  lowest = lowest > end_of_previous ? lowest : end_of_previous;
  return lowest < lo ? lowest : lo;
}

/* From /proc/self/maps: [start, end) of the mapping that holds address, or of the main thread's stack. */
static struct gp_stack
find_mapping (uintptr_t address)
{
  struct gp_stack found = { .lo = 0 };
  uintptr_t previous = 0;
  char line[512];
  FILE *maps = fopen ("/proc/self/maps", "re");
  while (maps != NULL && found.lo == 0 && fgets (line, sizeof line, maps) != NULL) {
    unsigned long lo, hi;
    if (sscanf (line, "%lx-%lx", &lo, &hi) != 2)
      continue;
    if (address != 0 ? address >= lo && address < hi : strstr (line, "[stack]") != NULL)
      found = (struct gp_stack) { .lo = address != 0 ? lo : lowest_of_main (hi, lo, previous), .hi = hi };
    previous = hi;
  }
  if (maps != NULL)
    fclose (maps);
  return found;
}

/* A thread armed from outside tells its thread pointer at its first tick; its stack's mapping ends there. */
static void
learn_stack_from_outside (struct gp_thread *thread)
{
  uintptr_t hi = gp_load (&thread->stack.hi);
  bool main_thread = thread->tid == g_segment->host_pid;
  if (thread->stack.lo != 0 || (hi == 0 && !main_thread))
    return;
  struct gp_stack found = find_mapping (main_thread ? 0 : hi - 1);
  if (main_thread)
    gp_store (&thread->stack.hi, found.hi);
  gp_store_release (&thread->stack.lo, found.lo);
}

/* When a thread was started, CLOCK_BOOTTIME, rounded down to the clock tick; 0: not known. */
static uint64_t
start_ns (pid_t tid)
{
  enum
  {
    FIELDS = 19 /* between the name, which may hold anything, and the time */
  };
  char path[64], line[512] = "";
  snprintf (path, sizeof path, "/proc/self/task/%d/stat", (int) tid);
  FILE *file = fopen (path, "re");
  if (file == NULL)
    return 0;
  const char *at = fread (line, 1, sizeof line - 1, file) > 0 ? strrchr (line, ')') : NULL;
  fclose (file);
  for (int i = 0; at != NULL && i <= FIELDS; i++)
    at = strchr (at + 1, ' ');
  return at != NULL ? strtoull (at, NULL, 10) * (1000000000 / (uint64_t) sysconf (_SC_CLK_TCK)) : 0;
}

/* Whether a thread has closed its accounts and is only not gone yet: taken for a new one, it would have all its CPU
 * time told a second time. One that has used less, or was started later, is another with the same id. */
static bool
is_ending (pid_t tid, uint64_t cpu_ns)
{
  for (uint32_t i = 0; i < g_segment->threads_used; i++)
    if (g_segment->threads[i].tid == tid && g_threads[i].tid == 0 && cpu_ns >= g_threads[i].ended_cpu_ns
        && start_ns (tid) <= g_threads[i].ended_ns)
      return true;
  return false;
}

static void
attach_from_outside (pid_t tid, uint32_t before)
{
  /* The kernel's encoding of a thread's CPU clock, as pthread_getcpuclockid() makes it. */
  clockid_t clock = (clockid_t) (~(unsigned) tid << 3 | 6);
  uint64_t cpu_ns = gp_clock_ns (clock);
  /* 0: it has ended since the listing, or not run yet; the next pass will see. */
  if (cpu_ns == 0 || is_ending (tid, cpu_ns))
    return;
  uint32_t base = gp_label_fixed (tid == g_segment->host_pid ? GP_LABEL_MAIN : GP_LABEL_THREAD);
  struct gp_thread *thread = gp_thread_take_slot (tid, clock, base);
  if (thread == NULL)
    return;
  gp_count (GP_COUNTER_THREADS_FOUND);
  gp_account_open (thread, cpu_ns, before != 0 ? before : base, base);
  gp_sampler_arm (thread);
  atomic_store_explicit (&thread->ready, true, memory_order_release); /* pairs with the acquire in gp_handler() */
}

static void
read_name (struct gp_thread *thread)
{
  char path[64];
  snprintf (path, sizeof path, "/proc/self/task/%d/comm", (int) thread->tid);
  FILE *file = fopen (path, "re");
  char name[GP_COMM + 1];
  if (file == NULL)
    return;
  if (fgets (name, sizeof name, file) != NULL) {
    name[strcspn (name, "\n")] = '\0';
    memcpy (g_segment->threads[gp_thread_slot (thread)].comm, name, GP_COMM);
  }
  fclose (file);
}

void
gp_threads_poll (uint32_t before)
{
  DIR *tasks = opendir ("/proc/self/task");
  if (tasks == NULL)
    return;
  pthread_mutex_lock (&g_registry);
  uint32_t used = g_segment->threads_used, hint = 0;
  for (uint32_t i = 0; i < used; i++)
    g_threads[i].seen = false;
  for (struct dirent *entry = readdir (tasks); entry != NULL; entry = readdir (tasks)) {
    pid_t tid = (pid_t) strtol (entry->d_name, NULL, 10);
    if (tid <= 0)
      continue;
    struct gp_thread *thread = gp_thread_find_tid (tid, &hint);
    if (thread != NULL)
      thread->seen = true;
    else
      attach_from_outside (tid, before);
  }
  for (uint32_t i = 0; i < used; i++) {
    struct gp_thread *thread = &g_threads[i];
    if (thread->tid == 0)
      continue;
    /* A listing may miss a thread while others end: ask again before it is given up. */
    if (!thread->seen && gp_syscall (SYS_tgkill, g_segment->host_pid, thread->tid, 0) != 0 && errno == ESRCH)
      gp_thread_end_slot (thread, false);
    else
      learn_stack_from_outside (thread);
  }
  pthread_mutex_unlock (&g_registry);
  closedir (tasks);
}

void
gp_threads_close (bool names)
{
  /* The lock anew for each: names of 600 threads take 5 ms, for which no thread of the host shall wait to start. */
  for (uint32_t i = 0; i < gp_load (&g_segment->threads_used); i++) {
    pthread_mutex_lock (&g_registry);
    if (g_threads[i].tid != 0) {
      gp_account_close (&g_threads[i]);
      gp_sampler_renew (&g_threads[i]);
      gp_sampler_wake (&g_threads[i]);
      if (names)
        read_name (&g_threads[i]);
    }
    pthread_mutex_unlock (&g_registry);
  }
}

static void
for_each_thread (void (*function) (struct gp_thread *), bool quiet)
{
  pthread_mutex_lock (&g_registry);
  gp_sampler_set_quiet (quiet);
  for (uint32_t i = 0; i < g_segment->threads_used; i++)
    if (g_threads[i].tid != 0)
      function (&g_threads[i]);
  pthread_mutex_unlock (&g_registry);
}

void
gp_threads_disarm (void)
{
  for_each_thread (gp_sampler_disarm, true);
}

void
gp_threads_arm (void)
{
  for_each_thread (gp_sampler_arm, false);
}
