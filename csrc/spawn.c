/* SPDX-License-Identifier: MIT */
/* spawn.c: which Python, which home, and the start itself.
 *
 * Context: poller, and for the embedded home the agent's own thread.
 */
#define _GNU_SOURCE
#include "spawn.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "gst.h"
#include "kernel.h"
#include "lifecycle.h"
#include "sampler.h"
#include "settings.h"
#include "workers.h"

#define AGENT_FD 3
#define STACK_BYTES (8u << 20)

/* What the record beside the package says (gst_pyro_shim/paths.py writes it), corrected by GST_PYROSCOPE_PYTHON and by
 * a virtual environment that holds the agent's own file. Empty: not known. */
static struct
{
  char python[PATH_MAX];
  char libpython[PATH_MAX];
  char entries[4 * PATH_MAX]; /* of sys.path, colons between */
  char agent[PATH_MAX];
} g_where;

/* of the environment, as it was when the tracer was made */
static char **g_environment; /* NULL: out of memory */
static char g_chosen_python[PATH_MAX], g_chosen_home[16];

static int g_memory_fd;

static void
take_line (FILE *file, char *into, size_t bytes)
{
  if (file == NULL || fgets (into, (int) bytes, file) == NULL)
    into[0] = '\0';
  into[strcspn (into, "\n")] = '\0';
}

/* The folder above the one this object was loaded from, symbolic links resolved. */
static bool
find_package (char package[PATH_MAX])
{
  Dl_info info;
  if (dladdr ((void *) (uintptr_t) gp_spawn_agent, &info) == 0 || realpath (info.dli_fname, package) == NULL)
    return false;
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr (package, '/');
    if (slash == NULL)
      return false;
    *slash = '\0';
  }
  return true;
}

/* The Python of the virtual environment that the agent is installed in. */
static void
find_environment (const char *agent)
{
  char folder[PATH_MAX], file[PATH_MAX + 32];
  snprintf (folder, sizeof folder, "%s", agent);
  for (char *slash = strrchr (folder, '/'); slash != NULL; slash = strrchr (folder, '/')) {
    *slash = '\0';
    snprintf (file, sizeof file, "%s/pyvenv.cfg", folder);
    if (access (file, R_OK) != 0)
      continue;
    snprintf (file, sizeof file, "%s/bin/python", folder);
    if (strlen (file) < sizeof g_where.python)
      strcpy (g_where.python, file);
    return;
  }
}

static bool
find_python (void)
{
  char package[PATH_MAX], record[PATH_MAX + 32];
  if (!find_package (package))
    return false;
  snprintf (record, sizeof record, "%s/agent-python.txt", package);
  FILE *file = fopen (record, "re");
  take_line (file, g_where.python, sizeof g_where.python);
  take_line (file, g_where.libpython, sizeof g_where.libpython);
  take_line (file, g_where.entries, sizeof g_where.entries);
  take_line (file, g_where.agent, sizeof g_where.agent);
  if (file != NULL)
    fclose (file);
  if (g_where.agent[0] == '\0'
      && snprintf (g_where.agent, sizeof g_where.agent, "%s/libgstpyro-agent.so", package)
             >= (int) sizeof g_where.agent)
    return false;
  find_environment (g_where.agent);
  if (g_chosen_python[0] != '\0')
    strcpy (g_where.python, g_chosen_python);
  return g_where.python[0] != '\0';
}

static int
is_libpython (struct dl_phdr_info *info, size_t bytes, void *data)
{
  (void) bytes, (void) data;
  const char *slash = strrchr (info->dlpi_name, '/');
  return strncmp (slash != NULL ? slash + 1 : info->dlpi_name, "libpython", 9) == 0;
}

/* Two interpreters in one process break each other: in 20 of 20 runs a gst-launch with a Python element failed once
 * ours was there first. */
static bool
host_may_run_python (void)
{
  if (dlsym (RTLD_DEFAULT, "Py_IsInitialized") != NULL || dl_iterate_phdr (is_libpython, NULL) != 0)
    return true;
  GstPlugin *plugin = GST (gst_registry_find_plugin) (GST (gst_registry_get) (), "python");
  if (plugin != NULL)
    GST (gst_object_unref) (plugin);
  return plugin != NULL;
}

/* In the forked child: only what is AS-Safe, for other threads of the host may have held any lock. */
static void
become_agent (char *const arguments[], char *const environment[])
{
  sigset_t none;
  int null = open ("/dev/null", O_RDWR);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
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

static void
take_setting (const char *field, char *into, size_t bytes)
{
  const char *text = gp_settings_get (field);
  if (text != NULL && strlen (text) < bytes)
    strcpy (into, text);
}

void
gp_spawn_read_environment (void)
{
  g_environment = agent_environment ();
  take_setting ("python", g_chosen_python, sizeof g_chosen_python);
  take_setting ("agent", g_chosen_home, sizeof g_chosen_home);
}

static void
refuse (const char *why, const char *what)
{
  gp_say (
      "no agent, nothing is profiled: %s%s. `python -m gst_pyro_shim path` writes down which Python to use", why, what);
  gp_store_release (&g_segment->agent_state, GP_AGENT_REFUSED);
  gp_segment_signal (&g_segment->poll);
}

static void
start_process (void)
{
  /* -I: no PYTHON* variables, no user's or current folder on sys.path. */
  static char script[] = "import os, sys; sys.path.extend(sys.argv[1].split(':')); "
                         "from gst_pyro_shim import agent; os._exit(agent.run(int(sys.argv[2]), 'process'))";
  char fd[] = { '0' + AGENT_FD, '\0' };
  char *const arguments[] = { g_where.python, "-I", "-c", script, g_where.entries, fd, NULL };
  g_segment->agent_home = GP_HOME_PROCESS;
  if (g_environment == NULL || access (g_where.python, X_OK) != 0) {
    refuse ("cannot run ", g_where.python);
    return;
  }
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
  if (g_segment->agent_pid <= 0) {
    refuse ("cannot fork: ", strerror (-g_segment->agent_pid));
    g_segment->agent_pid = 0;
    return;
  }
  gp_gst_log (GST_LEVEL_INFO, "agent: process %d, %s", (int) g_segment->agent_pid, g_where.python);
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
gp_spawn_agent_lives (void)
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

/* The agent's thread in the embedded home; comes back when the agent is done. */
static void *
embedded_main (void *unused)
{
  (void) unused;
  /* Global: extension modules take the API's names from there. */
  if (g_where.libpython[0] != '\0')
    dlopen (g_where.libpython, RTLD_NOW | RTLD_GLOBAL);
  void *library = dlopen (g_where.agent, RTLD_NOW | RTLD_GLOBAL);
  int (*agent_main) (int, const char *, const char *, char *, unsigned long) = NULL;
  char why[PATH_MAX] = "";
  if (library == NULL) {
    const char *error = dlerror ();
    snprintf (why, sizeof why, "%s", error != NULL ? error : g_where.agent);
  } else {
    *(void **) &agent_main = dlsym (library, "gp_agent_main");
  }
  /* 0 never means success: it is what cffi returns where its Python code fails. */
  if (agent_main != NULL && agent_main (g_memory_fd, g_where.python, g_where.entries, why, sizeof why) == 1) {
    /* Without the segment, whose descriptor the host may have closed, it cannot say that it is over. */
    uint32_t none = GP_AGENT_NONE;
    if (__atomic_compare_exchange_n (
            &g_segment->agent_state, &none, GP_AGENT_REFUSED, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
      gp_segment_signal (&g_segment->poll);
    return NULL;
  }
  if (gp_load (&g_segment->agent_state) != GP_AGENT_NONE)
    return NULL;
  gp_gst_log (GST_LEVEL_WARNING, "the agent cannot be embedded (%s), it gets a process", why);
  start_process ();
  return NULL;
}

void
gp_spawn_agent (int memory_fd)
{
  g_memory_fd = memory_fd;
  if (!find_python ()) {
    refuse ("no record of a Python beside ", "libgstpyro.so");
    return;
  }
  bool process = strcmp (g_chosen_home, "process") == 0 || gp_clock_is_faked ();
  bool embedded = strcmp (g_chosen_home, "embedded") == 0;
  if (process || (!embedded && (gp_sampler_host_takes_all () || host_may_run_python ()))) {
    start_process ();
    return;
  }
  g_segment->agent_home = GP_HOME_EMBEDDED;
  gp_gst_log (GST_LEVEL_INFO, "agent: embedded, %s", g_where.agent);
  int error = gp_workers_start_own (embedded_main, NULL, "gst-pyro-agent");
  if (error != 0)
    refuse ("no thread: ", strerror (error));
  else
    gp_lifecycle_agent_embedded ();
}
