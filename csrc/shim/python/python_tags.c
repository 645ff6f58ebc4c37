/* SPDX-License-Identifier: MIT */
/* python_tags.c: the label in force, as pyroscope-io's tags of the thread that enters Python.
 *
 * Entering is invisible to tracer hooks, and a thread state does not outlive the callback: the places are the import
 * slots of _gi and libgstpython. A nested callback leaves its own tags behind; the way back into the outer one goes
 * through PyEval_RestoreThread, which sets them right. So nothing is done on the way out.
 *
 * Hazard: signals. Python code run by us on the host's main thread would run Python's signal handlers, and lose a
 * KeyboardInterrupt. So nothing but builtin functions is called here, with arguments made once a label.
 *
 * Hazard: ids. pyroscope-io knows a thread by its pthread_t, which is used again after the thread's end, and takes tags
 * of the calling thread only. Waiting for the interpreter's lock at a thread's end could wait for ever (who holds it
 * may be joining the thread). So what stands at an id is remembered, and taken off when the next thread with that id
 * enters Python or starts as one of Python's own.
 *
 * Context: the replacements run on the host's threads, with the interpreter's lock, which also guards
 * g_pairs and the table of ids.
 */
#define _GNU_SOURCE
#include "shim/python/python_tags.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "shared/raw_syscall.h"
#include "shim/labels/label_rows.h"
#include "shim/python/python_api.h"
#include "shim/python/python_ids.h"
#include "shim/python/python_entered.h"

enum
{
  PATH_BYTES = 2048,
  GIVE_WAY_NS = 200000,
  GIVE_WAY_AGAIN_NS = 1000000 /* after the last pause of any thread */
};

struct gp_python_lock g_python_real;
const char *const g_python_callers[] = { "_gi.", "libgstpython.", NULL };

_Atomic bool g_python_entered;
_Atomic uint64_t g_python_lock_wanted;
static _Atomic uint64_t g_gave_way;

/* Of each label; made at its first entry, and anew where its row or its place is another's. */
static struct gp_python_tags g_tags[GP_LABELS];

static PyObject *g_add_tag, *g_remove_tag;
static _Atomic bool g_tags_wanted;

static inline bool
tags_wanted (void)
{
  return atomic_load_explicit (&g_tags_wanted, memory_order_acquire);
}

static PyObject *
make_pair (const char *key, const char *prefix, const char *text, const char *suffix)
{
  char value[2048];
  int bytes = snprintf (value, sizeof value, "%s%s%s", prefix, text, suffix);
  if (*text == '\0' || bytes < 0)
    return NULL;
  size_t used = (size_t) bytes < sizeof value ? (size_t) bytes : sizeof value - 1;
  PyObject *string = PY (PyUnicode_DecodeUTF8) (value, (ptrdiff_t) used, "replace");
  return string != NULL ? PY (Py_BuildValue) ("(sN)", key, string) : NULL;
}

/* Elements below a bin have a path as well; directly in the pipeline the name says it all. */
static bool
is_nested (const char *path)
{
  int depth = 0;
  for (; *path != '\0'; path++)
    depth += *path == '/';
  return depth > 2;
}

/* Whether the tags are those that the label has now. */
static bool
is_of (const struct gp_python_tags *tags, uint32_t label)
{
  const struct gp_label *names = &g_segment->labels[label];
  return tags->label == label && tags->serial == names->serial && tags->parent == gp_load (&names->parent);
}

static void
refer (const struct gp_python_tags *tags, void (*refer_to) (PyObject *))
{
  for (int i = 0; i < GP_PYTHON_TAGS; i++)
    if (tags->pairs[i] != NULL)
      refer_to (tags->pairs[i]);
}

/* The same names as the native samples have (segment/rows.py, agent/window.py; tests hold them against each other). */
static const struct gp_python_tags *
tags_of (uint32_t label)
{
  static const char *const fixed[] = {
    [GP_LABEL_MAIN] = "[main thread]",
    [GP_LABEL_POOL] = "[GLib pool]",
    [GP_LABEL_TASK] = "[GStreamer task]",
    [GP_LABEL_THREAD] = "[other threads]",
    [GP_LABEL_AGENT] = "[gst-pyro agent]",
    [GP_LABEL_BEFORE] = "[before the tracer]",
    [GP_LABEL_UNSEEN] = "[unseen threads]",
    [GP_LABEL_OVERFLOW] = "[too many labels]",
    [GP_LABEL_LOADING] = "[loading plugins]",
  };
  const struct gp_label *names = &g_segment->labels[label];
  struct gp_python_tags *tags = &g_tags[label];
  PyObject **pairs = tags->pairs;
  uint32_t topmost = gp_label_topmost (label);
  if (is_of (tags, label))
    return tags;
  refer (tags, PY (Py_DecRef));
  *tags = (struct gp_python_tags) { .label = label, .serial = names->serial, .parent = gp_load (&names->parent) };
  static char path[PATH_BYTES]; /* under the interpreter's lock; the host's stack may be small */
  gp_label_path (label, path, sizeof path);
  const char *name = g_segment->strings + names->name;
  if (names->kind == GP_LABEL_ELEMENT) {
    pairs[1] = make_pair ("factory", "", g_segment->strings + names->factory, "");
    pairs[3] = is_nested (path) ? make_pair ("path", "", path, "") : NULL;
    pairs[0] = make_pair ("element", "", name, "");
  } else if (names->kind == GP_LABEL_STATE_CHANGE) {
    pairs[0] = make_pair ("element", "[state change of ", name, "]");
  } else {
    pairs[0] = make_pair ("element", "", names->kind <= GP_LABEL_LOADING ? fixed[names->kind] : "", "");
  }
  if (topmost != label || names->kind == GP_LABEL_STATE_CHANGE)
    pairs[2] = make_pair ("pipeline", "", g_segment->strings + g_segment->labels[topmost].name, "");
  return tags;
}

static void
call_for_all (PyObject *function, const struct gp_python_tags *tags)
{
  for (int i = 0; i < GP_PYTHON_TAGS; i++) {
    PyObject *result = tags->pairs[i] != NULL ? PY (PyObject_CallObject) (function, tags->pairs[i]) : NULL;
    if (result != NULL)
      PY (Py_DecRef) (result);
    else
      PY (PyErr_Clear) ();
  }
}

/* Sets the thread's tags to those of a label. Requires: the interpreter's lock. */
static __attribute__ ((noinline)) void
retag (struct gp_thread *thread, uint32_t label)
{
  /* pyroscope-io belongs to the main interpreter. */
  if (PY (PyInterpreterState_Get) () != PY (PyInterpreterState_Main) ())
    return;
  struct gp_tagged *row = gp_python_find_tagged ((uintptr_t) pthread_self ());
  if (row == NULL)
    return;
  if (!is_of (&row->stand, label)) {
    struct gp_python_tags before = row->stand, after = *tags_of (label);
    refer (&after, PY (Py_IncRef));
    /* First: a call may let another thread have the lock, which may move the row, or make the label's tags anew. */
    row->stand = after;
    PyObject *type, *value, *trace;
    PY (PyErr_Fetch) (&type, &value, &trace);
    call_for_all (g_remove_tag, &before);
    call_for_all (g_add_tag, &after);
    PY (PyErr_Restore) (type, value, trace);
    refer (&before, PY (Py_DecRef));
  }
  if (thread != NULL) {
    thread->python_label = label;
    thread->python_serial = g_segment->labels[label].serial;
  }
}

/* sp: of the caller's frame. */
static inline void
entered (uintptr_t sp)
{
  struct gp_thread *thread = gp_thread_known ();
  if (thread == NULL || !atomic_load_explicit (&g_active, memory_order_relaxed))
    return;
  if (__builtin_expect (!tags_wanted (), 0)) {
    /* The poller looks ten times a second. */
    if (!atomic_load_explicit (&g_python_entered, memory_order_relaxed))
      atomic_store_explicit (&g_python_entered, true, memory_order_relaxed);
    return;
  }
  uint32_t label = gp_label_current (thread, sp);
  if (label != thread->python_label || g_segment->labels[label].serial != thread->python_serial) {
    int error = errno; /* which what takes the lock keeps */
    retag (thread, label);
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
gp_python_tags_set (PyObject *add, PyObject *remove)
{
  g_add_tag = add;
  g_remove_tag = remove;
  atomic_store_explicit (&g_tags_wanted, add != NULL, memory_order_release); /* pairs with tags_wanted() */
  if (add == NULL)
    return;
  /* The caller's own waiting in Python is not the program's. */
  retag (NULL, gp_label_fixed (GP_LABEL_AGENT));
  /* It may not come by an import slot for long. Other threads of before stay untagged until they do, and so does it
   * where the queue is full: [other threads] (python/samples.py). */
  PY (Py_AddPendingCall) (main_thread_is_sampled, NULL);
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
  if (!runs_python (function, argument, label) || !tags_wanted ())
    return;
  int state = g_python_real.ensure ();
  if (tags_wanted ()) /* not any more, perhaps: that may have been a long wait */
    retag (NULL, label);
  PY (PyGILState_Release) (state);
}
