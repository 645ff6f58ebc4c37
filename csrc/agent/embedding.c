/* SPDX-License-Identifier: MIT */
/* embedding.c: an interpreter of our own in the host, isolated from the host's settings for Python.
 *
 * It is not started as cffi does by default, by Py_InitializeEx(0). That ends the *host* if PYTHONHOME or
 * PYTHONHASHSEED are invalid, changes the host's LC_CTYPE, and finds the base Python's packages before the virtual
 * environment's.
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

/* cffi's own. It is static, so this file is compiled as part of cffi's generated code. */
static int cffi_start_python (void);

__attribute__ ((visibility ("default"))) int gp_agent_main (
    int memory_fd, const char *python, const char *entries, char *why, unsigned long why_bytes);

__attribute__ ((visibility ("default"))) void gp_agent_finalize (void);

static PyThreadState *g_state; /* NULL: there is no interpreter */

/* Variables in which an interpreter's configuration outlives it, so that the next one would take it over. They are
 * looked up by name: Python 3.12 and later deprecate them. */
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
save_or_restore (bool restore)
{
  for (int i = 0; i < LEFT; i++) {
    int *variable = dlsym (RTLD_DEFAULT, g_left_names[i]);
    if (variable != NULL && restore)
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
  /* The pre-configuration sets locale and allocator: isolated, UTF-8, independent of the environment. */
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

/* Adds folders, separated by ":", to sys.path. A package that is not installed in that Python (a source tree) needs
 * them: agent-python.txt records where it and its dependencies are. */
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

/* Restores a signal's action if Python has replaced it, and only then. The host may set its own meanwhile, up to the
 * very moment of the exchange: gst-launch does, right after the tracer was made. */
static void
restore_action (int number, const struct sigaction *before)
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
  save_or_restore (false);
  if (!initialize (python, why, why_bytes))
    return 0;
  /* The module signal takes SIGINT when it is first imported. So it is imported now, and that is undone below. */
  PyRun_SimpleString ("import signal");
  for (int i = 1; i < NSIG; i++)
    if (known[i])
      restore_action (i, &before[i]);
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

/* Ends the interpreter, on the thread that has started it: the host wants one of its own. */
void
gp_agent_finalize (void)
{
  if (g_state == NULL)
    return;
  PyEval_RestoreThread (g_state);
  g_state = NULL;
  Py_FinalizeEx ();
  save_or_restore (true);
  /* Also forgets the paths with which ours was started. This function is no part of the API, and may be missing. */
  void (*forget_paths) (void) = NULL;
  *(void **) &forget_paths = dlsym (RTLD_DEFAULT, "_PyPathConfig_ClearGlobal");
  if (forget_paths != NULL)
    forget_paths ();
}
