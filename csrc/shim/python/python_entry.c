/* SPDX-License-Identifier: MIT */
/* python_entry.c: where threads of the host take the interpreter's lock.
 *
 * Entering is invisible to tracer hooks, and a thread state does not outlive the callback: the places are the import
 * slots of _gi and libgstpython. A nested callback leaves its own tags behind; the way back into the outer one goes
 * through PyEval_RestoreThread, which sets them right. So nothing is done on the way out.
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
  GIVE_WAY_NS = 200000,
  GIVE_WAY_AGAIN_NS = 1000000 /* after the last pause of any thread */
};

struct gp_python_lock g_python_real;
const char *const g_python_callers[] = { "_gi.", "libgstpython.", NULL };

_Atomic bool g_python_entered;
_Atomic uint64_t g_python_lock_wanted;
static _Atomic uint64_t g_gave_way;

/* sp: of the caller's frame. */
static inline void
entered (uintptr_t sp)
{
  struct gp_thread *thread = gp_thread_known ();
  if (thread == NULL || !atomic_load_explicit (&g_active, memory_order_relaxed))
    return;
  if (__builtin_expect (!gp_python_tags_wanted (), 0)) {
    /* The poller looks ten times a second. */
    if (!atomic_load_explicit (&g_python_entered, memory_order_relaxed))
      atomic_store_explicit (&g_python_entered, true, memory_order_relaxed);
    return;
  }
  uint32_t label = gp_label_current (thread, sp);
  if (label != thread->python_label || g_segment->labels[label].serial != thread->python_serial) {
    int error = errno; /* which what takes the lock keeps */
    gp_python_tag (thread, label);
    errno = error;
  }
}

/* A pending call of Python's: its main thread, between two bytecodes, maybe not before Py_FinalizeEx(). */
static int
main_thread_is_sampled (void *unused)
{
  (void) unused;
  entered ((uintptr_t) __builtin_frame_address (0));
  return 0;
}

void
gp_python_tagging_start (PyObject *add, PyObject *remove)
{
  gp_python_tags_use (add, remove);
  /* The caller's own waiting in Python is not the program's. */
  gp_python_tag (NULL, gp_label_fixed (GP_LABEL_AGENT));
  /* It may not come by an import slot for long. Other threads of before stay untagged until they do, and so does it
   * where the queue is full: [other threads] (python/samples.py). */
  PY (Py_AddPendingCall) (main_thread_is_sampled, NULL);
}

void
gp_python_tagging_stop (void)
{
  gp_python_tags_use (NULL, NULL);
}

/* Who waits for the lock asks its holder for it only after 5 ms in which nobody has released it. A thread that takes it
 * again at once after each short callback keeps ours waiting for ever: so it pauses before, for 0.2 ms in each ms, and
 * until pyroscope-io is up, a second at most. Not the function: that is a cancellation point. */
static __attribute__ ((noinline)) void
give_way (uint64_t until)
{
  uint64_t now = gp_clock_ns (CLOCK_MONOTONIC), last = atomic_load_explicit (&g_gave_way, memory_order_relaxed);
  if (!atomic_load_explicit (&g_active, memory_order_relaxed) || now >= until || now < last + GIVE_WAY_AGAIN_NS
      || PY (PyGILState_Check) ()) /* nothing to give: it is held already */
    return;
  atomic_store_explicit (&g_gave_way, now + GIVE_WAY_NS, memory_order_relaxed);
  int error = errno;
  gp_syscall (SYS_nanosleep, &(struct timespec) { .tv_nsec = GIVE_WAY_NS }, NULL);
  errno = error;
}

static inline void
let_ours_go_first (void)
{
  uint64_t until = atomic_load_explicit (&g_python_lock_wanted, memory_order_acquire); /* pairs with python_main() */
  if (__builtin_expect (until != 0, 0))
    give_way (until);
}

int
gp_python_ensure (void)
{
  let_ours_go_first ();
  int state = g_python_real.ensure ();
  entered ((uintptr_t) __builtin_frame_address (0));
  return state;
}

void
gp_python_restore (void *state)
{
  let_ours_go_first ();
  g_python_real.restore (state);
  entered ((uintptr_t) __builtin_frame_address (0));
}

/* CPython starts threads that never take the interpreter's lock as well, and waits with it held for their end:
 * faulthandler's watchdog. So only those of `_thread` are taken for threads that run Python. All begin with one
 * function, which is handed the address of { what to run, its argument }; host_python.py starts one, so that both are
 * known. */
static bool
runs_python (void *(*function) (void *), void *argument, uint32_t label)
{
  static _Atomic uintptr_t wrapper, of_thread_module;
  uintptr_t at = (uintptr_t) function;
  if (label == gp_label_fixed (GP_LABEL_AGENT)) {
    if (gp_python_api_holds ((const void *) at)) {
      atomic_store_explicit (&of_thread_module, *(const uintptr_t *) argument, memory_order_relaxed);
      atomic_store_explicit (&wrapper, at, memory_order_release); /* pairs with the acquire below */
    }
    return false;
  }
  return at == atomic_load_explicit (&wrapper, memory_order_acquire)
         && *(const uintptr_t *) argument == atomic_load_explicit (&of_thread_module, memory_order_relaxed);
}

void
gp_python_thread_starts (void *(*function) (void *), void *argument, uint32_t label)
{
  /* Others may never take the lock, and come by an import slot if they do. */
  if (!runs_python (function, argument, label) || !gp_python_tags_wanted ())
    return;
  int state = g_python_real.ensure ();
  if (gp_python_tags_wanted ()) /* not any more, perhaps: that may have been a long wait */
    gp_python_tag (NULL, label);
  PY (PyGILState_Release) (state);
}
