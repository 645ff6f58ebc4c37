/* SPDX-License-Identifier: MIT */
/* thread_stacks.c: finds the stacks of threads that did not attach themselves.
 *
 * The handler of such a thread stores the thread pointer at its first tick (stack.hi); the mapping of its stack ends
 * there.
 *
 * Context: poller.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include "shim/threads/thread.h"

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

/* A thread whose stack is not known yet. hi: an address right above it; 0: the main thread's. */
struct wanted
{
  struct gp_thread *thread;
  pid_t tid;
  uintptr_t hi;
  struct gp_stack found;
};

/* Sets the wanted stacks that lie in the mapping [lo, hi). */
static void
find_in (struct wanted *wanted, size_t count, const char *line, uintptr_t lo, uintptr_t hi, uintptr_t previous)
{
  for (size_t i = 0; i < count; i++) {
    struct wanted *one = &wanted[i];
    if (one->hi != 0 ? one->hi - 1 >= lo && one->hi - 1 < hi : strstr (line, "[stack]") != NULL)
      one->found = (struct gp_stack) { .lo = one->hi != 0 ? lo : lowest_of_main (hi, lo, previous), .hi = hi };
  }
}

/* Reads /proc/self/maps, once for all that are wanted. */
static void
find_stacks (struct wanted *wanted, size_t count)
{
  uintptr_t previous = 0;
  char line[512];
  FILE *maps = fopen ("/proc/self/maps", "re");
  while (maps != NULL && fgets (line, sizeof line, maps) != NULL) {
    unsigned long lo, hi;
    if (sscanf (line, "%lx-%lx", &lo, &hi) != 2)
      continue;
    find_in (wanted, count, line, lo, hi, previous);
    previous = hi;
  }
  if (maps != NULL)
    fclose (maps);
}

void
gp_threads_find_stacks (void)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  enum
  {
    AT_ONCE = 64
  };
  struct wanted wanted[AT_ONCE];
  size_t count = 0;
  for (uint32_t slot = gp_thread_next (0); slot != GP_NO_ROW && count < AT_ONCE; slot = gp_thread_next (slot + 1)) {
    struct gp_thread *thread = &g_threads[slot];
    pid_t tid = gp_load (&thread->tid);
    uintptr_t hi = gp_load (&thread->stack.hi);
    bool main_thread = tid == g_segment->host_pid;
    if (tid != 0 && gp_load (&thread->stack.lo) == 0 && (hi != 0 || main_thread))
      wanted[count++] = (struct wanted) { thread, tid, main_thread ? 0 : hi, { .lo = 0 } };
  }
  if (count == 0)
    return;
  find_stacks (wanted, count);
  gp_registry_lock ();
  for (size_t i = 0; i < count; i++) {
    struct gp_thread *thread = wanted[i].thread;
    if (thread->tid != wanted[i].tid || wanted[i].found.lo == 0)
      continue;
    if (wanted[i].hi == 0)
      gp_store (&thread->stack.hi, wanted[i].found.hi);
    gp_store_release (&thread->stack.lo, wanted[i].found.lo);
  }
  gp_registry_unlock ();
}
