/* SPDX-License-Identifier: MIT */
/* thread_poll.c: what the poller does for threads. It finds those that no replaced call made (raw clone, pthread_create
 * by dlsym, all that were there before the tracer), ends those that vanished, and publishes the accounts of all.
 *
 * Context: poller; the first pass is lifecycle, on the thread that makes the tracer.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/labels/account.h"
#include "shim/labels/label_rows.h"
#include "shim/threads/sampler.h"
#include "shim/threads/thread.h"

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

/* When the last thread with this id ended, by CLOCK_BOOTTIME, and its CPU time then. False: there was none. */
static bool
find_end (pid_t tid, uint64_t *ended_ns, uint64_t *cpu_ns)
{
  gp_registry_lock ();
  const struct gp_ended *ended = gp_thread_find_ended (tid);
  *ended_ns = ended != NULL ? ended->ns : 0;
  *cpu_ns = ended != NULL ? ended->cpu_ns : 0;
  gp_registry_unlock ();
  return ended != NULL;
}

static void
attach_from_outside (pid_t tid, uint32_t before)
{
  /* The kernel's encoding of a thread's CPU clock, as pthread_getcpuclockid() makes it. */
  clockid_t clock = (clockid_t) (~(unsigned) tid << 3 | 6);
  uint64_t cpu_ns = gp_clock_ns (clock), ended_ns, ended_cpu_ns;
  if (cpu_ns == 0) /* it has ended since the listing, or has not run yet: the next pass finds out */
    return;
  /* A thread that has ended its accounts may still be listed: registered again, all its CPU time would count twice. A
   * thread that has used less CPU time, or was started later, is another one with the same id. */
  if (find_end (tid, &ended_ns, &ended_cpu_ns) && cpu_ns >= ended_cpu_ns && start_ns (tid) <= ended_ns)
    return;
  uint32_t base = gp_label_fixed (tid == g_segment->host_pid ? GP_LABEL_MAIN : GP_LABEL_THREAD);
  gp_registry_lock ();
  /* It may have attached itself meanwhile, and even ended. */
  const struct gp_ended *ended = gp_thread_find_ended (tid);
  bool is_new = gp_thread_find_tid (tid) == NULL && (ended == NULL || ended->ns == ended_ns);
  struct gp_thread *thread = is_new ? gp_thread_take_slot (tid, clock, base) : NULL;
  if (thread != NULL) {
    gp_count (GP_COUNTER_THREADS_FOUND);
    gp_account_open (thread, cpu_ns, before != 0 ? before : base, base);
    gp_sampler_arm (thread);
    atomic_store_explicit (&thread->ready, true, memory_order_release); /* pairs with the acquire in gp_handler() */
  }
  gp_registry_unlock ();
}

/* The ids of all threads, as the kernel lists them. Returns their number. *ids is kept for the next call. */
static size_t
list_threads (pid_t **ids, size_t *room)
{
  size_t count = 0;
  DIR *tasks = opendir ("/proc/self/task");
  if (tasks == NULL)
    return 0;
  for (struct dirent *entry = readdir (tasks); entry != NULL; entry = readdir (tasks)) {
    pid_t tid = (pid_t) strtol (entry->d_name, NULL, 10);
    if (count == *room) {
      pid_t *more = realloc (*ids, (2 * *room + 64) * sizeof *more);
      if (more == NULL)
        break;
      *ids = more;
      *room = 2 * *room + 64;
    }
    if (tid > 0)
      (*ids)[count++] = tid;
  }
  closedir (tasks);
  return count;
}

/* Marks known threads as seen. Moves the ids of the others to the front, and returns their number. */
static size_t
mark_known (pid_t *ids, size_t count)
{
  enum
  {
    AT_ONCE = 128 /* under one lock: threads of the host that start or end wait no longer */
  };
  size_t others = 0;
  for (size_t from = 0; from < count; from += AT_ONCE) {
    gp_registry_lock ();
    for (size_t i = from; i < count && i < from + AT_ONCE; i++) {
      struct gp_thread *thread = gp_thread_find_tid (ids[i]);
      if (thread != NULL)
        gp_store (&thread->seen, g_pass);
      else
        ids[others++] = ids[i];
    }
    gp_registry_unlock ();
  }
  return others;
}

static void
end_vanished (void)
{
  for (uint32_t slot = gp_thread_next (0); slot != GP_NO_ROW; slot = gp_thread_next (slot + 1)) {
    struct gp_thread *thread = &g_threads[slot];
    if (gp_load (&thread->seen) == g_pass || gp_load (&thread->tid) == 0)
      continue;
    gp_registry_lock ();
    /* A listing may miss a thread while others end: ask the kernel before ending it. */
    if (thread->seen != g_pass && thread->tid != 0 && gp_syscall (SYS_tgkill, g_segment->host_pid, thread->tid, 0) != 0
        && errno == ESRCH)
      gp_thread_end_slot (thread, false);
    gp_registry_unlock ();
  }
}

void
gp_threads_poll (uint32_t before)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  static pid_t *ids; /* kept for the next pass; as large as there were threads at once */
  static size_t room;
  gp_registry_lock ();
  gp_store (&g_pass, g_pass + 1); /* threads that attach from now on count as seen */
  gp_registry_unlock ();
  size_t count = list_threads (&ids, &room);
  if (count == 0)
    return;
  size_t others = mark_known (ids, count);
  /* This reads files. The lock is taken for one thread at a time. */
  for (size_t i = 0; i < others; i++)
    attach_from_outside (ids[i], before);
  end_vanished ();
  gp_threads_find_stacks ();
}

static void
read_name (struct gp_thread *thread)
{
  pid_t tid = gp_load (&thread->tid);
  char path[64], name[GP_COMM + 1] = "";
  snprintf (path, sizeof path, "/proc/self/task/%d/comm", (int) tid);
  FILE *file = fopen (path, "re");
  if (file == NULL)
    return;
  bool has_name = fgets (name, sizeof name, file) != NULL;
  fclose (file);
  name[strcspn (name, "\n")] = '\0';
  gp_registry_lock ();
  if (has_name && thread->tid == tid)
    memcpy (g_segment->threads[gp_thread_slot (thread)].comm, name, GP_COMM);
  gp_registry_unlock ();
}

void
gp_threads_publish (bool names)
{
  /* The lock is taken for one thread at a time, and not while a file is read: no thread of the host may wait to start.
   */
  for (uint32_t slot = gp_thread_next (0); slot != GP_NO_ROW; slot = gp_thread_next (slot + 1)) {
    struct gp_thread *thread = &g_threads[slot];
    if (names && gp_load (&thread->tid) != 0)
      read_name (thread);
    gp_registry_lock ();
    if (thread->tid != 0) {
      gp_account_publish (thread);
      gp_sampler_renew (thread);
      gp_sampler_wake (thread);
    }
    gp_registry_unlock ();
  }
}

static void
for_each_thread (void (*function) (struct gp_thread *), bool quiet)
{
  gp_registry_lock ();
  gp_sampler_set_quiet (quiet);
  for (uint32_t slot = gp_thread_next (0); slot != GP_NO_ROW; slot = gp_thread_next (slot + 1))
    if (g_threads[slot].tid != 0)
      function (&g_threads[slot]);
  gp_registry_unlock ();
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
