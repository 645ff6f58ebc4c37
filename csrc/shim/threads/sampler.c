/* SPDX-License-Identifier: MIT */
/* sampler.c: chooses the clocks; arms and disarms threads. States and transitions: sampler.h. The signal:
 * tick_signal.c.
 *
 * Context: lifecycle and poller. The signal half is handler.c.
 */
#define _GNU_SOURCE
#include "shim/threads/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/signal/handler.h"
#include "shim/threads/tick_signal.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum
{
  HIGH_FD = 3072,
  WAKE_NS = 50000000 /* over a shorter time the part that a thread works means nothing */
};

static bool g_quiet; /* nobody is armed from now on; under the registry lock */

/* A random first period: short threads get their share of ticks, and threads do not tick in step. */
static uint64_t
random_period (void)
{
  static _Atomic uint64_t state;
  uint64_t x = atomic_fetch_add (&state, 0x9e3779b97f4a7c15u) ^ gp_clock_ns (CLOCK_MONOTONIC);
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return 10000 + (x ^ x >> 31) % g_interval_ns;
}

/* Counts user code only. With kernel time in it, an event that expires on the way into a sleep ends the sleep: half the
 * samples of a host that polls cost it an EINTR. With user code only: none in 130,000 calls. */
static int
open_perf (pid_t tid, uint64_t period_ns)
{
  struct perf_event_attr attr = {
    .type = PERF_TYPE_SOFTWARE,
    .size = sizeof attr,
    .config = PERF_COUNT_SW_TASK_CLOCK,
    .sample_period = period_ns,
    .disabled = 1,
    .exclude_kernel = 1,
    .exclude_hv = 1,
  };
  return (int) gp_syscall (SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Moves an event's descriptor up. Where the limit of descriptors is low, events get its upper quarter and no more: low
 * numbers stay as they were, and a host with many threads does not run out of them. Where it is high, they begin at
 * HIGH_FD: a fork copies the table up to its last entry, and takes twice the time with number 20,000 in use. */
static int
move_up (int fd)
{
  struct rlimit limit;
  int high = -1;
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
    high = (int) gp_syscall (
        SYS_fcntl, fd, F_DUPFD_CLOEXEC, (int) (limit.rlim_cur / 4 * 3 < HIGH_FD ? limit.rlim_cur / 4 * 3 : HIGH_FD));
  gp_syscall (SYS_close, fd);
  return high;
}

/* Sets the thread's event; false: the descriptor is not below GP_PERF_FDS. */
static bool
set_event (struct gp_thread *thread, int fd)
{
  if (fd >= GP_PERF_FDS)
    return false;
  thread->perf_fd = fd;
  if (fd >= 0)
    gp_store (&g_perf_slots[fd], (uint16_t) (gp_thread_slot (thread) + 1));
  return true;
}

static bool
arm_perf (struct gp_thread *thread)
{
  int low = open_perf (thread->tid, random_period ());
  int fd = low < 0 ? -1 : move_up (low);
  if (fd < 0)
    return false;
  struct f_owner_ex owner = { .type = F_OWNER_TID, .pid = thread->tid };
  if (!set_event (thread, fd) || gp_syscall (SYS_fcntl, fd, F_SETFL, O_ASYNC) < 0
      || gp_syscall (SYS_fcntl, fd, F_SETSIG, (int) g_segment->signal) < 0
      || gp_syscall (SYS_fcntl, fd, F_SETOWN_EX, &owner) < 0
      || gp_syscall (SYS_ioctl, fd, PERF_EVENT_IOC_ENABLE, 0) < 0) {
    set_event (thread, -1);
    gp_syscall (SYS_close, fd);
    return false;
  }
  atomic_store_explicit (&thread->event_rests, false, memory_order_relaxed);
  thread->calm_ticks = 0;
  thread->first_tick = true;
  return true;
}

static bool
arm_timer (struct gp_thread *thread)
{
  struct sigevent event;
  memset (&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = (int) g_segment->signal;
  event.sigev_value.sival_ptr = thread; /* the cookie: gp_thread_from_cookie() */
  event.sigev_notify_thread_id = thread->tid;
  int timer;
  /* The system call: a kernel's id, and no helper thread of glibc's. */
  if (gp_syscall (SYS_timer_create, thread->cpu_clock, &event, &timer) != 0)
    return false;
  uint64_t first = random_period ();
  struct itimerspec spec = {
    .it_interval = { (time_t) (g_interval_ns / 1000000000), (long) (g_interval_ns % 1000000000) },
    .it_value = { (time_t) (first / 1000000000), (long) (first % 1000000000) },
  };
  thread->timer = timer;
  if (gp_syscall (SYS_timer_settime, timer, 0, &spec, NULL) != 0) {
    gp_syscall (SYS_timer_delete, timer);
    thread->timer = -1;
    return false;
  }
  return true;
}

void
gp_sampler_set_quiet (bool quiet)
{
  g_quiet = quiet;
}

void
gp_sampler_arm (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (gp_load (&g_segment->clock) == GP_CLOCK_NONE || g_quiet || thread->perf_fd >= 0 || thread->timer >= 0)
    return;
  bool event = gp_load (&g_segment->clock) == GP_CLOCK_PERF && arm_perf (thread);
  /* Beside an event the timer samples what that leaves out, the kernel's time. Alone it samples all, at the kernel's
   * tick. */
  bool timer = arm_timer (thread);
  /* A thread that the poller found may have ended meanwhile: that is not counted. */
  if (!event && !timer && gp_syscall (SYS_tgkill, g_segment->host_pid, thread->tid, 0) == 0)
    gp_count (GP_COUNTER_UNARMED);
}

void
gp_sampler_disarm (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (thread->perf_fd >= 0) {
    int fd = thread->perf_fd;
    bool has_event = gp_thread_has_event (thread);
    set_event (thread, -1);
    /* Disabled first: a forked child may hold a copy of the descriptor, which keeps the event alive. Closed only where
     * it could be disabled: a host that closes all descriptors closes ours too, and its next file may have got the
     * number. */
    if (has_event && gp_syscall (SYS_ioctl, fd, PERF_EVENT_IOC_DISABLE, 0) == 0)
      gp_syscall (SYS_close, fd);
  }
  if (thread->timer >= 0) {
    gp_syscall (SYS_timer_delete, thread->timer);
    thread->timer = -1;
  }
}

void
gp_sampler_renew (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uint64_t id;
  if (thread->perf_fd < 0
      || (gp_thread_has_event (thread) && gp_syscall (SYS_ioctl, thread->perf_fd, PERF_EVENT_IOC_ID, &id) == 0))
    return;
  /* The descriptor belongs to the host now, or to another thread. It is not closed. */
  set_event (thread, -1);
  arm_perf (thread);
}

void
gp_sampler_wake (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (!gp_thread_has_event (thread) || !atomic_load_explicit (&thread->event_rests, memory_order_relaxed))
    return;
  uint64_t now_ns = gp_clock_ns (CLOCK_MONOTONIC), cpu_ns = gp_clock_ns (thread->cpu_clock);
  uint64_t passed_ns = now_ns - thread->rest_ns, used_ns = cpu_ns - thread->rest_cpu_ns;
  if (passed_ns < WAKE_NS)
    return;
  thread->rest_ns = now_ns;
  thread->rest_cpu_ns = cpu_ns;
  if (used_ns >= passed_ns - passed_ns / 8)
    return;
  /* The handler of a thread that was only preempted lets the event rest again, at the next sample. First the flag, then
   * the event: where the handler runs in between, the event stays enabled although it rests, and both clocks sample the
   * thread. The event is never disabled while the timer leaves user code to it. */
  bool rests = true;
  if (atomic_compare_exchange_strong_explicit (
          &thread->event_rests, &rests, false, memory_order_relaxed, memory_order_relaxed))
    gp_syscall (SYS_ioctl, thread->perf_fd, PERF_EVENT_IOC_ENABLE, 0);
}

/* The kernel's tick, at which it checks CPU timers. */
static uint64_t
tick_ns (void)
{
  struct timespec tick = { .tv_sec = 1 };
  gp_syscall (SYS_clock_getres, CLOCK_MONOTONIC_COARSE, &tick);
  return (uint64_t) tick.tv_sec * 1000000000 + (uint64_t) tick.tv_nsec;
}

/* A filter of system calls may end the process for a call that it does not allow (systemd's SystemCallFilter= does so):
 * so a child tries it first. The child has no exit signal, so that the host does not notice it. */
static bool
may_open_perf (void)
{
  enum
  {
    FILTERED = 2
  };
  if (prctl (PR_GET_SECCOMP) != FILTERED)
    return true;
  pid_t child = (pid_t) gp_syscall (SYS_clone, 0, 0, 0, 0, 0);
  if (child == 0) {
    prctl (PR_SET_DUMPABLE, 0); /* the child leaves no core */
    _exit (open_perf (0, g_interval_ns) < 0);
  }
  int status = -1;
  if (child > 0) /* the system call: libc's function is a cancellation point */
    while (gp_syscall (SYS_wait4, child, &status, __WCLONE, NULL) < 0 && errno == EINTR)
      continue;
  return status == 0;
}

static enum gp_clock
find_clock (void)
{
  int fd = may_open_perf () ? open_perf (0, g_interval_ns) : -1;
  if (fd < 0)
    return GP_CLOCK_TIMER;
  gp_syscall (SYS_close, fd);
  return GP_CLOCK_PERF;
}

/* Where the signal may end the process, timers alone: the kernel drops a timer's pending tick at an exec, but not an
 * event's. */
static enum gp_clock
clock_of_signal (void)
{
  return gp_signal_is_harmless ((int) g_segment->signal) ? find_clock () : GP_CLOCK_TIMER;
}

void
gp_sampler_start (uint32_t rate_hz)
{
  g_interval_ns = 1000000000u / rate_hz;
  g_events_may_rest = g_interval_ns >= 2 * tick_ns ();
  gp_store (&g_segment->clock, gp_signal_take () ? clock_of_signal () : GP_CLOCK_NONE);
}
