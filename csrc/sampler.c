/* SPDX-License-Identifier: MIT */
/* sampler.c: chooses signal and clock; arms and disarms threads.
 *
 * Context: lifecycle and poller. The signal half is handler.c.
 */
#define _GNU_SOURCE
#include "sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* Descriptors of ours stay out of the way of hosts that count on low numbers (select, shells). */
#define HIGH_FD 1000

struct sigaction g_previous_action;
uint64_t g_interval_ns;

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

static int
open_perf (pid_t tid, bool with_kernel, uint64_t period_ns)
{
  struct perf_event_attr attr = {
    .type = PERF_TYPE_SOFTWARE,.size = sizeof attr,.config = PERF_COUNT_SW_TASK_CLOCK,
    .sample_period = period_ns,.disabled = 1,.exclude_kernel = !with_kernel,.exclude_hv = 1,
  };
  return (int) syscall (SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static bool
arm_perf (struct gp_thread *thread)
{
  int low = open_perf (thread->tid, g_segment->clock == GP_CLOCK_PERF, random_period ());
  if (low < 0)
    return false;
  int fd = fcntl (low, F_DUPFD_CLOEXEC, HIGH_FD);
  if (fd >= 0)
    close (low);
  else
    fd = low;
  struct f_owner_ex owner = {.type = F_OWNER_TID,.pid = thread->tid };
  if (!gp_thread_set_perf_fd (thread, fd) || fcntl (fd, F_SETFL, O_ASYNC) < 0
      || fcntl (fd, F_SETSIG, (int) g_segment->signal) < 0 || fcntl (fd, F_SETOWN_EX, &owner) < 0
      || ioctl (fd, PERF_EVENT_IOC_ENABLE, 0) < 0) {
    gp_thread_set_perf_fd (thread, -1);
    close (fd);
    return false;
  }
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
  /* The raw call: a kernel id, and no helper thread of glibc's. */
  if (syscall (SYS_timer_create, thread->cpu_clock, &event, &timer) != 0)
    return false;
  uint64_t first = random_period ();
  struct itimerspec spec = {
    .it_interval = {(time_t) (g_interval_ns / 1000000000), (long) (g_interval_ns % 1000000000)},
    .it_value = {(time_t) (first / 1000000000), (long) (first % 1000000000)},
  };
  thread->timer = timer;
  if (syscall (SYS_timer_settime, timer, 0, &spec, NULL) != 0) {
    syscall (SYS_timer_delete, timer);
    thread->timer = -1;
    return false;
  }
  return true;
}

void
gp_sampler_arm (struct gp_thread *thread)
{
  if (gp_load (&g_segment->clock) == GP_CLOCK_NONE || thread->perf_fd >= 0 || thread->timer >= 0)
    return;
  bool armed = gp_load (&g_segment->clock) != GP_CLOCK_TIMER && arm_perf (thread);
  /* Descriptors run out before timers do. */
  if (!armed && !arm_timer (thread))
    gp_count (GP_COUNTER_UNARMED);
}

void
gp_sampler_disarm (struct gp_thread *thread)
{
  if (thread->perf_fd >= 0) {
    int fd = thread->perf_fd;
    ioctl (fd, PERF_EVENT_IOC_DISABLE, 0);
    gp_thread_set_perf_fd (thread, -1);
    close (fd);
  }
  if (thread->timer >= 0) {
    syscall (SYS_timer_delete, thread->timer);
    thread->timer = -1;
  }
}

static enum gp_clock
find_clock (void)
{
  static const struct
  {
    bool with_kernel;
    enum gp_clock clock;
  } tries[] = { {true, GP_CLOCK_PERF}, {false, GP_CLOCK_PERF_USER} };
  for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
    int fd = open_perf (0, tries[i].with_kernel, g_interval_ns);
    if (fd >= 0) {
      close (fd);
      return tries[i].clock;
    }
  }
  return GP_CLOCK_TIMER;
}

void
gp_sampler_start (uint32_t rate_hz)
{
  static const int candidates[] = { SIGURG, SIGWINCH };
  g_interval_ns = 1000000000u / rate_hz;
  for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
    struct sigaction ours;
    memset (&ours, 0, sizeof ours);
    ours.sa_sigaction = gp_handler;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    if (sigaction (candidates[i], NULL, &g_previous_action) != 0
        || (g_previous_action.sa_handler != SIG_DFL && g_previous_action.sa_handler != SIG_IGN)
        || sigaction (candidates[i], &ours, NULL) != 0)
      continue;
    gp_store (&g_segment->signal, (uint32_t) candidates[i]);
    gp_store (&g_segment->clock, find_clock ());
    return;
  }
  gp_store (&g_segment->clock, GP_CLOCK_NONE);
}

static bool
handler_stands (void)
{
  struct sigaction now;
  return sigaction ((int) g_segment->signal, NULL, &now) == 0 && now.sa_sigaction == gp_handler;
}

void
gp_sampler_stop (void)
{
  /* A tick may still be pending somewhere; the default of both candidates is to be ignored. */
  if (g_segment->signal != 0 && handler_stands ())
    sigaction ((int) g_segment->signal, &g_previous_action, NULL);
}

void
gp_sampler_check (void)
{
  if (g_segment->signal != 0 && !handler_stands ())
    gp_count (GP_COUNTER_SIGNAL_TAKEN);
}
