/* SPDX-License-Identifier: MIT */
/* agent_process.c: the agent as a process beside the host.
 *
 * Context: poller.
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
#include "shim/base/clock.h"
#include "shim/base/gst_api.h"
#include "shim/home/handover.h"
#include "shared/raw_syscall.h"
#include "shim/home/agent_python.h"

enum
{
  AGENT_FD = 3,
  UNBORN_MS = 500,
  STACK_BYTES = 8 << 20
};

char g_agent_name[GP_HANDOVER_NAME];
static char **g_environment; /* as it was when the tracer was made; NULL: out of memory */
static int g_memory_fd;

/* A host that lives for some milliseconds only does not pay for the start of a Python meanwhile. Until there is
 * something to do, or the host ends. */
static void
wait_until_due (void)
{
  uint64_t due = g_segment->start_mono_ns + UNBORN_MS * 1000000ull, now;
  while ((now = gp_clock_ns (CLOCK_MONOTONIC)) < due) {
    uint32_t seen = gp_load_acquire (&g_segment->wake);
    if (gp_load (&g_segment->host_state) >= GP_HOST_STOPPING || gp_load (&g_segment->python_state) != 0)
      return;
    gp_segment_wait (&g_segment->wake, seen, (unsigned) ((due - now) / 1000000 + 1));
  }
}

/* In the forked child: only what is AS-Safe, for other threads of the host may have held any lock. */
static void
become_agent (char *const arguments[], char *const environment[])
{
  static const int end[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
  sigset_t none;
  int null = open ("/dev/null", O_RDWR);
  /* Until it has a name of its own, who ends all programs of the host's name does not mean it. */
  for (size_t i = 0; i < sizeof end / sizeof end[0]; i++)
    signal (end[i], SIG_IGN);
  prctl (PR_SET_NAME, "gst-pyro-agent");
  setsid (); /* the terminal's Ctrl-C is for the host */
  /* As is its limit of stacks: to start a Python takes 48 KiB. */
  struct rlimit stack;
  if (getrlimit (RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < STACK_BYTES) {
    stack.rlim_cur = stack.rlim_max < STACK_BYTES ? stack.rlim_max : STACK_BYTES;
    setrlimit (RLIMIT_STACK, &stack);
  }
  /* In this order: null may have got the number that the segment is to have. */
  dup2 (null, STDIN_FILENO);
  dup2 (null, STDOUT_FILENO);
  if (g_memory_fd == AGENT_FD)
    fcntl (AGENT_FD, F_SETFD, 0);
  else if (dup2 (g_memory_fd, AGENT_FD) < 0)
    close (AGENT_FD); /* the host has closed ours: what it has there is not the agent's to look at */
#ifdef SYS_close_range
  if (gp_syscall (SYS_close_range, AGENT_FD + 1, ~0u, 0) != 0)
#endif
    for (int fd = AGENT_FD + 1; fd < 4096; fd++)
      close (fd);
  wait_until_due ();
  for (size_t i = 0; i < sizeof end / sizeof end[0]; i++)
    signal (end[i], SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  execve (arguments[0], arguments, environment);
  _exit (127);
}

/* The host's environment without our preload and without what would bend the agent's Python. Kept: an agent that cannot
 * be embedded comes to need it later. */
static char **
agent_environment (void)
{
  size_t count = 0;
  while (environ[count] != NULL)
    count++;
  char **copy = calloc (count + 1, sizeof *copy);
  for (size_t i = 0, at = 0; copy != NULL && i < count; i++)
    if (strncmp (environ[i], "LD_PRELOAD=", 11) != 0 && strncmp (environ[i], "PYTHON", 6) != 0) {
      copy[at] = strdup (environ[i]);
      at += copy[at] != NULL;
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
gp_agent_refuse (const char *why, const char *what)
{
  gp_say (
      "no agent, nothing is profiled: %s%s. `python -m gst_pyro_shim path` writes down which Python to use", why, what);
  gp_store_release (&g_segment->agent_state, GP_AGENT_REFUSED);
  gp_segment_signal (&g_segment->poll);
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
  /* Twice forked: the agent is nobody's child here, so the host's SIGCHLD and waitpid(-1) never see it. (But where the
   * host is pid 1 or a subreaper, to which orphans go.) The first fork sends no signal at its end and is waited for by
   * us alone; a single one would not do, since execve() makes SIGCHLD of it. */
  pid_t between = (pid_t) gp_syscall (SYS_clone, 0, 0, 0, 0, 0);
  if (between == 0) {
    pid_t child = (pid_t) gp_syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
      become_agent (arguments, g_environment);
    g_segment->agent_pid = child < 0 ? -errno : child;
    _exit (0);
  }
  if (between < 0)
    g_segment->agent_pid = -errno;
  else
    while (waitpid (between, NULL, __WCLONE) < 0 && errno == EINTR)
      continue;
  int error = g_segment->agent_pid < 0 ? -g_segment->agent_pid : 0;
  if (error != 0)
    g_segment->agent_pid = 0;
  else
    gp_gst_log (GST_LEVEL_INFO, "agent: process %d, %s", (int) g_segment->agent_pid, g_agent_python.python);
  return error;
}

/* One that has ended may stand in the list for ever: pid 1 of a container need not be one that reaps. */
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
  /* One that has ended as the host's child is there until the host reaps it, which is not for us to do. */
  if (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
    return info.si_pid != pid;
  return (kill (pid, 0) == 0 || errno != ESRCH) && !is_zombie (pid);
}
