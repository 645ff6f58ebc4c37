/* SPDX-License-Identifier: MIT */
/* agent_process.c: the agent as a process beside the host.
 *
 * Context: poller; from become_agent() on, the child of a fork.
 */
#define _GNU_SOURCE
#include "shim/home/agent_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/base/clock.h"
#include "shim/base/gst_api.h"
#include "shim/home/agent_python.h"
#include "shim/home/handover.h"

enum
{
  AGENT_FD = 3,             /* the segment's descriptor, in the agent */
  START_DELAY_MS = 500,     /* from the tracer's start to the exec of a Python */
  STACK_BYTES_MIN = 8 << 20 /* of the agent's limit of stacks */
};

char g_agent_name[GP_HANDOVER_NAME];
int g_memory_fd;
static char **g_environment; /* of the agent, copied when the tracer was made; NULL: out of memory */

/* Delays the start of a Python, so that a host that lives for some milliseconds does not pay for one. Returns early
 * where the agent has work: the host is ending, or a thread of it has entered Python. */
static void
wait_until_due (void)
{
  uint64_t due = g_segment->start_mono_ns + START_DELAY_MS * 1000000ull, now;
  while ((now = gp_clock_ns (CLOCK_MONOTONIC)) < due) {
    uint32_t seen = gp_load_acquire (&g_segment->wake);
    if (gp_load (&g_segment->host_state) >= GP_HOST_STOPPING || gp_load (&g_segment->python_state) != 0)
      return;
    gp_futex_wait (&g_segment->wake, seen, (unsigned) ((due - now) / 1000000 + 1));
  }
}

/* In the forked child. Calls only what is AS-Safe: another thread of the host may have held any lock at the fork. */
static void
become_agent (char *const arguments[], char *const environment[])
{
  static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
  sigset_t none;
  int null = open ("/dev/null", O_RDWR);
  /* Ignored until the exec: the child still has the host's name, and `killall` by that name is meant for the host. */
  for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
    signal (ending[i], SIG_IGN);
  prctl (PR_SET_NAME, "gst-pyro-agent");
  setsid (); /* the terminal's Ctrl-C is for the host */
  /* So is a low limit of stacks: a Python needs at least 48 KiB to start. */
  struct rlimit stack;
  if (getrlimit (RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < STACK_BYTES_MIN) {
    stack.rlim_cur = stack.rlim_max < STACK_BYTES_MIN ? stack.rlim_max : STACK_BYTES_MIN;
    setrlimit (RLIMIT_STACK, &stack);
  }
  /* Before the segment: null may have got AGENT_FD. */
  dup2 (null, STDIN_FILENO);
  dup2 (null, STDOUT_FILENO);
  if (g_memory_fd == AGENT_FD)
    fcntl (AGENT_FD, F_SETFD, 0);
  else if (dup2 (g_memory_fd, AGENT_FD) < 0)
    close (AGENT_FD); /* the host has closed our descriptor: the file it has at AGENT_FD is not for the agent */
#ifdef SYS_close_range
  if (gp_syscall (SYS_close_range, AGENT_FD + 1, ~0u, 0) != 0)
#endif
    for (int fd = AGENT_FD + 1; fd < 4096; fd++)
      close (fd);
  wait_until_due ();
  for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++)
    signal (ending[i], SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  execve (arguments[0], arguments, environment);
  _exit (127);
}

/* A copy of the host's environment without our preload and without variables that change how a Python runs. Never
 * freed: an agent that cannot be embedded needs it later. */
static char **
agent_environment (void)
{
  size_t count = 0, kept = 0;
  while (environ[count] != NULL)
    count++;
  char **copy = calloc (count + 1, sizeof *copy);
  for (size_t i = 0; copy != NULL && i < count; i++)
    if (strncmp (environ[i], "LD_PRELOAD=", 11) != 0 && strncmp (environ[i], "PYTHON", 6) != 0) {
      copy[kept] = strdup (environ[i]);
      kept += copy[kept] != NULL;
    }
  return copy;
}

void
gp_agent_process_prepare (int memory_fd)
{
  g_memory_fd = memory_fd;
  g_environment = agent_environment ();
}

bool
gp_agent_process_can_run (void)
{
  return g_environment != NULL && access (g_agent_python.python, X_OK) == 0;
}

void
gp_agent_refuse (const char *why, const char *what, const char *hint)
{
  gp_say ("no agent, nothing is profiled: %s%s. %s", why, what, hint);
  gp_store_release (&g_segment->agent_state, GP_AGENT_REFUSED);
  gp_futex_signal (&g_segment->poll);
}

int
gp_agent_process_start (void)
{
  /* -I: no PYTHON* variables, no user's or current folder on sys.path. */
  static char script[] = "import os, sys; sys.path.extend(sys.argv[1].split(':')); "
                         "from gst_pyro_shim.agent import hosts; "
                         "os._exit(hosts.run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))";
  char fd[] = { '0' + AGENT_FD, '\0' }, pid[16];
  snprintf (pid, sizeof pid, "%d", (int) g_segment->host_pid);
  char *const arguments[] = { g_agent_python.python, "-I", "-c", script, g_agent_python.entries, fd, pid, g_agent_name,
    NULL };
  gp_store (&g_segment->agent_home, GP_HOME_PROCESS); /* a thread that loads a library reads it meanwhile */
  /* Forked twice: the agent is an orphan, so the host gets no SIGCHLD for it and its waitpid(-1) never sees it. (Where
   * the host is pid 1 or a subreaper, orphans become its children.) The first child is cloned without an exit signal,
   * so that only __WCLONE waits for it, which is us. One fork would not do: execve() restores SIGCHLD as the exit
   * signal. */
  pid_t first = (pid_t) gp_syscall (SYS_clone, 0, 0, 0, 0, 0);
  if (first == 0) {
    pid_t child = (pid_t) gp_syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
      become_agent (arguments, g_environment);
    g_segment->agent_pid = child < 0 ? -errno : child;
    _exit (0);
  }
  if (first < 0)
    g_segment->agent_pid = -errno;
  else
    while (waitpid (first, NULL, __WCLONE) < 0 && errno == EINTR)
      continue;
  int error = g_segment->agent_pid < 0 ? -g_segment->agent_pid : 0;
  if (error != 0)
    g_segment->agent_pid = 0;
  else
    gp_gst_log (GST_LEVEL_INFO, "agent: process %d, %s", (int) g_segment->agent_pid, g_agent_python.python);
  return error;
}

/* An ended orphan stays in the list of processes until pid 1 reaps it, which pid 1 of a container may never do. */
static bool
is_zombie (pid_t pid)
{
  char path[64], line[512] = "";
  snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
  FILE *file = fopen (path, "re");
  const char *name_end = file != NULL && fgets (line, sizeof line, file) != NULL ? strrchr (line, ')') : NULL;
  if (file != NULL)
    fclose (file);
  return name_end != NULL && (strncmp (name_end, ") Z", 3) == 0 || strncmp (name_end, ") X", 3) == 0);
}

bool
gp_agent_process_lives (void)
{
  pid_t pid = g_segment->agent_pid;
  if (pid == 0)
    return true;
  siginfo_t info = { 0 };
  /* Where the agent is the host's child, the host reaps it, not we (WNOWAIT). */
  if (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
    return info.si_pid != pid;
  return (kill (pid, 0) == 0 || errno != ESRCH) && !is_zombie (pid);
}
