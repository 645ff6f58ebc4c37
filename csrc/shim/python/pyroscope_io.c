/* SPDX-License-Identifier: MIT */
/* pyroscope_io.c: pyroscope-io in the host's interpreter, from its start to its last push.
 *
 * A thread of ours runs host_python.py there, never one of the host's. It is started once a thread of the host has
 * entered Python. The script runs in a namespace of its own, so it changes neither sys.path nor sys.modules.
 *
 * Context: lifecycle, on a thread of our own; gp_python_poll() and gp_python_stop() are the poller's.
 */
#define _GNU_SOURCE
#include "shim/python/pyroscope_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/base/gst_api.h"
#include "shim/python/python_api.h"
#include "shim/python/python_entry.h"
#include "shim/stop/stop.h"
#include "shim/threads/own_thread.h"

enum
{
  OFFER_MS = 10000, /* for the agent to say where the samples go: it may still be importing */
  SETTLE_MS = 500,  /* until pyroscope-io samples for certain: its thread begins 0.05 s after it was started */
  WANTED_MS = 1000, /* while the host's threads let us have the lock first; pyroscope-io starts in 0.1 s with it */
  STOP_MS = 300,    /* for the last push, which stays on this machine, and for the interpreter's lock */
  FILE_INPUT = 257, /* Py_file_input */
  RATE_PART = 4,    /* of our rate: for each sample pyroscope-io reads /proc for every thread, 0.35 ms for ten */
  SCRIPT_BYTES = 65536
};

enum state
{
  STATE_NONE,
  STATE_RUNS,
  STATE_DONE
};

static uint32_t g_state;   /* enum state, a futex */
static int g_stop_fd = -1; /* an eventfd: readable once pyroscope-io is to stop */

/* A value of the segment's python_config; "": there is none. */
static const char *
config (const char *wanted)
{
  const char *end = g_segment->python_config + GP_PYTHON;
  for (const char *key = g_segment->python_config; key < end && *key != '\0';) {
    const char *value = key + strnlen (key, (size_t) (end - key)) + 1;
    if (value >= end)
      break;
    if (strcmp (key, wanted) == 0)
      return value;
    key = value + strnlen (value, (size_t) (end - value)) + 1;
  }
  return "";
}

/* The text of a file, to be freed. NULL: it cannot be read. */
static char *
read_text (const char *path)
{
  FILE *file = fopen (path, "re");
  char *text = file != NULL ? calloc (1, SCRIPT_BYTES) : NULL;
  if (text != NULL && fread (text, 1, SCRIPT_BYTES - 1, file) == 0) {
    free (text);
    text = NULL;
  }
  if (file != NULL)
    fclose (file);
  return text;
}

/* Runs host_python.py and returns its namespace. NULL: it cannot be read, or an exception is set. */
static PyObject *
load_script (void)
{
  char *text = read_text (config ("script"));
  if (text == NULL)
    return NULL;
  PyObject *code = PY (Py_CompileString) (text, config ("script"), FILE_INPUT);
  PyObject *names = PY (PyDict_New) ();
  free (text);
  if (code == NULL || names == NULL
      || PY (PyDict_SetItemString) (names, "__builtins__", PY (PyEval_GetBuiltins) ()) != 0)
    return NULL;
  PyObject *name = PY (Py_BuildValue) ("s", "gst_pyro_shim.python.host_python");
  if (name == NULL || PY (PyDict_SetItemString) (names, "__name__", name) != 0)
    return NULL;
  return PY (PyEval_EvalCode) (code, names, names) != NULL ? names : NULL;
}

/* pyroscope-io samples one interpreter, the newest that exists when it begins. Functions of one that was made meanwhile
 * would count as the main interpreter's. */
static const char g_several[] = "pyroscope-io sees one interpreter, and the program has sub-interpreters."
                                " The rest of the profile goes on.";

static void
publish_state (enum gp_python_state state)
{
  gp_store (&g_segment->python_state, state);
  gp_futex_signal (&g_segment->wake);
}

static bool
has_subinterpreters (void)
{
  return PY (PyInterpreterState_Head) () != PY (PyInterpreterState_Main) ();
}

/* timeout_ms: -1: none. Requires: the interpreter's lock, which is released during the wait. False: timed out. */
static bool
wait_for_stop (int timeout_ms)
{
  struct pollfd stop = { .fd = g_stop_fd, .events = POLLIN };
  struct timespec timeout = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };
  void *state = PY (PyEval_SaveThread) ();
  int ready;
  do
    ready = (int) gp_syscall (SYS_ppoll, &stop, 1, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
  while (ready < 0 && errno == EINTR);
  PY (PyEval_RestoreThread) (state);
  return ready != 0;
}

/* Calls start() of host_python.py. Its result: a string, why Python cannot be profiled; or a tuple (add, remove,
 * whether this pyroscope-io is ours). */
static PyObject *
start_script (PyObject *names)
{
  PyObject *start = PY (PyDict_GetItemString) (names, "start");
  int rate_hz = (int) (g_segment->sample_rate_hz + RATE_PART - 1) / RATE_PART;
  return start == NULL
             ? NULL
             : PY (PyObject_CallFunction) (start, "ssssssii", has_subinterpreters () ? g_several : "", config ("url"),
                   config ("token"), config ("package"), config ("interval"), config ("memory"), rate_hz, g_stop_fd);
}

/* From pyroscope-io's start to its last push. Requires: the interpreter's lock. */
static void
serve (void)
{
  PyObject *names = load_script ();
  PyObject *result = names != NULL ? start_script (names) : NULL;
  atomic_store_explicit (&g_python_lock_wanted, 0, memory_order_relaxed);
  const char *problem = result != NULL ? PY (PyUnicode_AsUTF8AndSize) (result, NULL) : NULL;
  PY (PyErr_Clear) ();
  if (problem != NULL || result == NULL) {
    gp_say ("Python functions are not profiled: %s",
        problem != NULL ? problem : "host_python.py cannot be run. Please report this");
    return;
  }
  /* Nothing here is released: the host may use pyroscope-io's functions too, and the rest is small. */
  gp_python_tagging_start (PY (PyTuple_GetItem) (result, 0), PY (PyTuple_GetItem) (result, 1));
  gp_gst_log (GST_LEVEL_INFO, "pyroscope-io samples the host's Python");
  bool ours = PY (PyObject_IsTrue) (PY (PyTuple_GetItem) (result, 2)) == 1;
  if (ours)
    publish_state (GP_PYTHON_SAMPLED);
  if (!wait_for_stop (SETTLE_MS)) {
    if (ours && has_subinterpreters ()) {
      gp_say ("Python functions are not profiled: %s", g_several);
      ours = false;
      publish_state (GP_PYTHON_NONE);
    } else {
      wait_for_stop (-1);
    }
  }
  gp_python_tagging_stop ();
  if (PY (PyObject_CallFunction) (PY (PyDict_GetItemString) (names, "finish"), NULL) == NULL)
    PY (PyErr_Clear) ();
  if (ours)
    publish_state (GP_PYTHON_PUSHED);
}

/* Waits until the agent has filled python_config. False: the host ends, or the agent has not answered. */
static bool
wait_for_offer (void)
{
  uint64_t deadline = gp_clock_ns (CLOCK_MONOTONIC) + OFFER_MS * 1000000ull;
  while (gp_load_acquire (&g_segment->python_offered) == 0) { /* pairs with the release in gp_reader_offer_python() */
    if (gp_stop_is_wanted () || gp_clock_ns (CLOCK_MONOTONIC) > deadline)
      return false;
    gp_futex_wait (&g_segment->python_offered, 0, 100);
  }
  return true;
}

static void *
python_main (void *unused)
{
  (void) unused;
  if (wait_for_offer () && gp_python_api_load ((void *) (uintptr_t) g_python_real.ensure) && PY (Py_IsInitialized) ()) {
    /* Release: threads that read it use the table that gp_python_api_load() has filled. */
    atomic_store_explicit (
        &g_python_lock_wanted, gp_clock_ns (CLOCK_MONOTONIC) + WANTED_MS * 1000000ull, memory_order_release);
    int state = g_python_real.ensure ();
    serve ();
    PY (PyGILState_Release) (state);
  }
  gp_futex_signal (&g_state); /* raises it from STATE_RUNS to STATE_DONE */
  return NULL;
}

void
gp_python_poll (void)
{
  if (g_state != STATE_NONE || !atomic_load_explicit (&g_python_entered, memory_order_relaxed))
    return;
  g_state = STATE_RUNS;
  publish_state (GP_PYTHON_ENTERED);
  g_stop_fd = gp_fd_move_up ((int) gp_syscall (SYS_eventfd2, 0, EFD_CLOEXEC));
  if (g_stop_fd < 0 || gp_own_thread_start (python_main, NULL, "gst-pyro-python") != 0)
    gp_store (&g_state, STATE_DONE);
}

void
gp_python_stop (void)
{
  static const uint64_t one = 1;
  if (gp_load_acquire (&g_state) != STATE_RUNS || gp_syscall (SYS_write, g_stop_fd, &one, sizeof one) < 0)
    return;
  uint64_t deadline = gp_clock_ns (CLOCK_MONOTONIC) + STOP_MS * 1000000ull, now;
  while (gp_load_acquire (&g_state) != STATE_DONE && (now = gp_clock_ns (CLOCK_MONOTONIC)) < deadline)
    gp_futex_wait (&g_state, STATE_RUNS, (unsigned) ((deadline - now) / 1000000 + 1));
}
