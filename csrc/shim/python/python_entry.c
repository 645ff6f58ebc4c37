/* SPDX-License-Identifier: MIT */
/* python_entry.c: a thread of the host enters Python.
 *
 * Tracer hooks do not see that, and a thread state of Python's does not outlive the callback. So the calls by which
 * PyGObject (_gi) and libgstpython take the interpreter's lock are redirected, and tag the thread. Nothing is done when
 * the thread leaves Python: a nested callback leaves its own tags behind, and the way back into the outer callback
 * calls PyEval_RestoreThread(), which sets the outer one's tags again.
 *
 * Context: lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/python/python_entry.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/labels/label_rows.h"
#include "shim/python/python_tags.h"

enum
{
  PAUSE_NS = 200000,
  PAUSE_AGAIN_NS = 1000000 /* from the end of one pause, of any thread, to the next */
};

struct gp_python_lock g_python_real;
const char *const g_python_callers[] = { "_gi.", "libgstpython.", NULL };

_Atomic bool g_python_entered;
_Atomic uint64_t g_python_lock_wanted;
static _Atomic uint64_t g_paused_until; /* CLOCK_MONOTONIC */

/* The calling thread has entered Python, and has the interpreter's lock: tags it with the label in force. sp: of the
 * caller's frame. */
static inline void
entered (uintptr_t sp)
{
  struct gp_thread *thread = gp_thread_known ();
  if (thread == NULL || !atomic_load_explicit (&g_active, memory_order_relaxed))
    return;
  if (__builtin_expect (!gp_python_tags_wanted (), 0)) {
    /* Tells the poller that pyroscope-io is needed. */
    if (!atomic_load_explicit (&g_python_entered, memory_order_relaxed)) {
      atomic_store_explicit (&g_python_entered, true, memory_order_relaxed);
      gp_poller_wake ();
    }
    return;
  }
  uint32_t label = gp_label_current (thread, sp);
  if (label != thread->python_label || g_segment->labels[label].serial != thread->python_serial) {
    int error = errno; /* kept, as the redirected functions keep it */
    gp_python_tag (thread, label);
    errno = error;
  }
}

/* A pending call: Python's main thread makes it between two bytecodes, at the latest in Py_FinalizeEx(). */
static int
tag_main_thread (void *unused)
{
  (void) unused;
  entered ((uintptr_t) __builtin_frame_address (0));
  return 0;
}

void
gp_python_tagging_start (PyObject *add, PyObject *remove)
{
  gp_python_tags_use (add, remove);
  /* The calling thread is ours, and waits in Python: those samples are not the program's. */
  gp_python_tag (NULL, gp_label_fixed (GP_LABEL_AGENT));
  /* The main thread may make no redirected call for long. Other threads that were in Python before stay untagged until
   * they make one, and so does the main thread where the queue of pending calls is full: their samples count as
   * [other threads] (python/samples.py). */
  PY (Py_AddPendingCall) (tag_main_thread, NULL);
}

void
gp_python_tagging_stop (void)
{
  gp_python_tags_use (NULL, NULL);
}

/* Lets our own thread have the interpreter's lock first, until pyroscope-io is up, a second at most. CPython asks the
 * holder to release the lock only where nobody has released it for 5 ms. A thread that takes it again right after each
 * short callback would keep ours waiting for ever. So it pauses before it takes the lock, for 0.2 ms in each ms. The
 * system call, not nanosleep(): that is a cancellation point. */
static __attribute__ ((noinline)) void
pause_before_lock (uint64_t until)
{
  uint64_t now = gp_clock_ns (CLOCK_MONOTONIC), last = atomic_load_explicit (&g_paused_until, memory_order_relaxed);
  if (!atomic_load_explicit (&g_active, memory_order_relaxed) || now >= until || now < last + PAUSE_AGAIN_NS
      || PY (PyGILState_Check) ()) /* this thread holds the lock already */
    return;
  atomic_store_explicit (&g_paused_until, now + PAUSE_NS, memory_order_relaxed);
  int error = errno;
  gp_syscall (SYS_nanosleep, &(struct timespec) { .tv_nsec = PAUSE_NS }, NULL);
  errno = error;
}

static inline void
let_our_thread_first (void)
{
  uint64_t until = atomic_load_explicit (&g_python_lock_wanted, memory_order_acquire); /* pairs with python_main() */
  if (__builtin_expect (until != 0, 0))
    pause_before_lock (until);
}

int
gp_python_ensure (void)
{
  let_our_thread_first ();
  int state = g_python_real.ensure ();
  entered ((uintptr_t) __builtin_frame_address (0));
  return state;
}

void
gp_python_restore (void *state)
{
  let_our_thread_first ();
  g_python_real.restore (state);
  entered ((uintptr_t) __builtin_frame_address (0));
}

/* Whether a new thread is one of Python's module `_thread`. CPython also starts threads that never take the
 * interpreter's lock, and holds it while it waits for their end (faulthandler's watchdog): these must not be made to
 * wait for it.
 *
 * All threads of CPython begin with one function, `wrapper`, whose argument is the address of { function to run, its
 * argument }. host_python.py starts a thread of `_thread`, under the agent's label: from that one both `wrapper` and
 * the function that `_thread` runs are learned. */
static bool
runs_python (void *(*function) (void *), void *argument, uint32_t label)
{
  static _Atomic uintptr_t wrapper, thread_module_runs;
  uintptr_t at = (uintptr_t) function;
  if (label == gp_label_fixed (GP_LABEL_AGENT)) {
    if (gp_python_api_holds ((const void *) at)) {
      atomic_store_explicit (&thread_module_runs, *(const uintptr_t *) argument, memory_order_relaxed);
      atomic_store_explicit (&wrapper, at, memory_order_release); /* pairs with the acquire below */
    }
    return false;
  }
  return at == atomic_load_explicit (&wrapper, memory_order_acquire)
         && *(const uintptr_t *) argument == atomic_load_explicit (&thread_module_runs, memory_order_relaxed);
}

void
gp_python_thread_starts (void *(*function) (void *), void *argument, uint32_t label)
{
  /* Other threads may never take the lock; where they do, by a redirected call, they are tagged then. */
  if (!runs_python (function, argument, label) || !gp_python_tags_wanted ())
    return;
  int state = g_python_real.ensure ();
  if (gp_python_tags_wanted ()) /* asked again: the wait for the lock may have been long */
    gp_python_tag (NULL, label);
  PY (PyGILState_Release) (state);
}
