/* SPDX-License-Identifier: MIT */
/* embedding.c: an interpreter of our own in the host, isolated from whatever is set for Python there.
 *
 * Not cffi's default start: it calls Py_InitializeEx(0), which ends the *host* where PYTHONHOME or PYTHONHASHSEED are
 * nonsense, changes its LC_CTYPE, and finds the base Python's packages before the virtual environment's.
 *
 * Context: agent, on the thread that the shim has made for it.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "agent/embedding.h"

/* cffi's own; static, hence this file is part of what it generates. */
static int cffi_start_python (void);

__attribute__ ((visibility ("default"))) int gp_agent_main (
    int memory_fd, const char *python, const char *entries, char *why, unsigned long why_bytes);

__attribute__ ((visibility ("default"))) void gp_agent_finalize (void);

static PyThreadState *g_state; /* NULL: there is no interpreter */

/* What an interpreter leaves behind for the next one: how it was configured, in variables that Python 3.12 and later
 * warn of, hence by name. */
static const char *const g_left_names[] = { "Py_BytesWarningFlag", "Py_DebugFlag", "Py_DontWriteBytecodeFlag",
  "Py_FrozenFlag", "Py_HashRandomizationFlag", "Py_IgnoreEnvironmentFlag", "Py_InspectFlag", "Py_InteractiveFlag",
  "Py_IsolatedFlag", "Py_NoSiteFlag", "Py_NoUserSiteDirectory", "Py_OptimizeFlag", "Py_QuietFlag", "Py_UTF8Mode",
  "Py_UnbufferedStdioFlag", "Py_VerboseFlag" };
enum
{
  LEFT = sizeof g_left_names / sizeof g_left_names[0]
};
static int g_left[LEFT];

static void
keep_or_put_back (bool put_back)
{
  for (int i = 0; i < LEFT; i++) {
    int *variable = dlsym (RTLD_DEFAULT, g_left_names[i]);
    if (variable != NULL && put_back)
      *variable = g_left[i];
    else if (variable != NULL)
      g_left[i] = *variable;
  }
}

static bool
initialize (const char *python, char *why, unsigned long why_bytes)
{
  PyPreConfig early;
  PyConfig config;
  /* The pre-configuration decides on locale and allocator: isolated, UTF-8, nothing of the environment. */
  PyPreConfig_InitIsolatedConfig (&early);
  early.utf8_mode = 1;
  early.configure_locale = 0;
  PyStatus status = Py_PreInitialize (&early);
  PyConfig_InitIsolatedConfig (&config);
  config.install_signal_handlers = 0;
  config.write_bytecode = 0;
  if (!PyStatus_Exception (status))
    status = PyConfig_SetBytesString (&config, &config.executable, python);
  if (!PyStatus_Exception (status))
    status = PyConfig_SetBytesString (&config, &config.program_name, python);
  if (!PyStatus_Exception (status))
    status = Py_InitializeFromConfig (&config);
  PyConfig_Clear (&config);
  if (!PyStatus_Exception (status))
    return true;
  snprintf (why, why_bytes, "Python does not start: %s", status.err_msg != NULL ? status.err_msg : "no reason given");
  return false;
}

/* Where the package is not installed in that Python (a source tree), the record says where it and its needs are. */
static void
extend_path (const char *entries)
{
  PyObject *path = PySys_GetObject ("path");
  for (const char *entry = entries; path != NULL && *entry != '\0';) {
    size_t bytes = strcspn (entry, ":");
    PyObject *text = PyUnicode_DecodeFSDefaultAndSize (entry, (Py_ssize_t) bytes);
    if (text != NULL && PySequence_Contains (path, text) == 0)
      PyList_Append (path, text);
    Py_XDECREF (text);
    entry += bytes + (entry[bytes] == ':');
  }
  PyErr_Clear ();
}

static bool
is_of_python (const struct sigaction *action)
{
  Dl_info handler, python;
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN
         && dladdr ((void *) (uintptr_t) action->sa_handler, &handler) != 0
         && dladdr ((void *) (uintptr_t) Py_IsInitialized, &python) != 0 && handler.dli_fbase == python.dli_fbase;
}

/* Takes off what Python has set, and nothing else: the host sets its own meanwhile (gst-launch does, right after the
 * tracer was made), up to the moment of the exchange. */
static void
give_back (int number, const struct sigaction *before)
{
  struct sigaction now;
  if (sigaction (number, NULL, &now) == 0 && is_of_python (&now) && sigaction (number, before, &now) == 0
      && !is_of_python (&now))
    sigaction (number, &now, NULL);
}

int
gp_agent_main (int memory_fd, const char *python, const char *entries, char *why, unsigned long why_bytes)
{
  struct sigaction before[NSIG];
  bool known[NSIG] = { false };
  for (int i = 1; i < NSIG; i++)
    known[i] = sigaction (i, NULL, &before[i]) == 0;
  if (Py_IsInitialized ()) {
    snprintf (why, why_bytes, "there is a Python in this process already");
    return 0;
  }
  keep_or_put_back (false);
  if (!initialize (python, why, why_bytes))
    return 0;
  /* The module's own start-up takes SIGINT for Python, whoever imports it later: now, and undone. */
  PyRun_SimpleString ("import signal");
  for (int i = 1; i < NSIG; i++)
    if (known[i])
      give_back (i, &before[i]);
  extend_path (entries);
  if (cffi_start_python () != 0) {
    g_state = PyEval_SaveThread ();
    snprintf (why, why_bytes, "cffi does not start");
    return 0;
  }
  g_state = PyEval_SaveThread ();
  int done = gp_agent_run (memory_fd);
  if (done == 0)
    snprintf (why, why_bytes, "the agent's Python code failed, see above");
  return done != 0;
}

/* Takes the interpreter down, on the thread that has brought it up: the host wants one of its own. */
void
gp_agent_finalize (void)
{
  if (g_state == NULL)
    return;
  PyEval_RestoreThread (g_state);
  g_state = NULL;
  Py_FinalizeEx ();
  keep_or_put_back (true);
  /* The paths that ours was started with. No part of the API, so it may be missing. */
  void (*forget_paths) (void) = NULL;
  *(void **) &forget_paths = dlsym (RTLD_DEFAULT, "_PyPathConfig_ClearGlobal");
  if (forget_paths != NULL)
    forget_paths ();
}
