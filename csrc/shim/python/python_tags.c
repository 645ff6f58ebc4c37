/* SPDX-License-Identifier: MIT */
/* python_tags.c: sets the tags that pyroscope-io has for a thread to those of a label.
 *
 * Hazard: signals. Python code that we run on the host's main thread would also run Python's signal handlers, and would
 * lose a KeyboardInterrupt. So only builtin functions are called here, with arguments that are made once for each
 * label.
 *
 * Hazard: ids. pyroscope-io knows a thread by its pthread_t, which is used again after the thread's end, and it changes
 * the tags of the calling thread only. A thread cannot remove its tags when it ends: for that it would wait for the
 * interpreter's lock, whose holder may be joining it. So python_ids.c remembers which tags an id has. They are removed
 * when the next thread with that id enters Python, or starts as one of Python's own.
 *
 * Context: lifecycle, on the host's threads, with the interpreter's lock. The lock also guards g_tags and the table of
 * ids.
 */
#define _GNU_SOURCE
#include "shim/python/python_tags.h"

#include <pthread.h>
#include <stdio.h>
#include "shim/labels/label_rows.h"
#include "shim/python/python_ids.h"

enum
{
  PATH_BYTES = 2048
};

_Atomic bool g_python_tags_wanted;

/* By label. Made when a thread first enters Python under the label; made anew where the row has got another label, or
 * its element another parent. */
static struct gp_python_tags g_tags[GP_LABELS];

static PyObject *g_add_tag, *g_remove_tag; /* pyroscope-io's functions */

/* A tuple (key, prefix + text + suffix), cut where it is too long. NULL: text is empty, or Python failed. */
static PyObject *
make_pair (const char *key, const char *prefix, const char *text, const char *suffix)
{
  char value[PATH_BYTES];
  int bytes = snprintf (value, sizeof value, "%s%s%s", prefix, text, suffix);
  if (*text == '\0' || bytes < 0)
    return NULL;
  size_t used = (size_t) bytes < sizeof value ? (size_t) bytes : sizeof value - 1;
  PyObject *string = PY (PyUnicode_DecodeUTF8) (value, (ptrdiff_t) used, "replace");
  return string != NULL ? PY (Py_BuildValue) ("(sN)", key, string) : NULL;
}

/* Only elements in a bin get the tag `path`: directly in the pipeline the name is enough. */
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
are_of (const struct gp_python_tags *tags, uint32_t label)
{
  const struct gp_label *names = &g_segment->labels[label];
  return tags->label == label && tags->serial == names->serial && tags->parent == gp_load (&names->parent);
}

/* Py_IncRef() or Py_DecRef() of all pairs. */
static void
for_each_pair (const struct gp_python_tags *tags, void (*change) (PyObject *))
{
  for (int i = 0; i < GP_PYTHON_TAGS; i++)
    if (tags->pairs[i] != NULL)
      change (tags->pairs[i]);
}

/* The names are those of the native samples (segment/rows.py, agent/window.py). A test compares them. */
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
  if (are_of (tags, label))
    return tags;
  for_each_pair (tags, PY (Py_DecRef));
  *tags = (struct gp_python_tags) { .label = label, .serial = names->serial, .parent = gp_load (&names->parent) };
  static char path[PATH_BYTES]; /* guarded by the interpreter's lock; the host's stack may be small */
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

/* Calls function (key, value) for each tag. Exceptions are dropped. */
static void
call_for_each (PyObject *function, const struct gp_python_tags *tags)
{
  for (int i = 0; i < GP_PYTHON_TAGS; i++) {
    PyObject *result = tags->pairs[i] != NULL ? PY (PyObject_CallObject) (function, tags->pairs[i]) : NULL;
    if (result != NULL)
      PY (Py_DecRef) (result);
    else
      PY (PyErr_Clear) ();
  }
}

void
gp_python_tag (struct gp_thread *thread, uint32_t label)
{
  /* pyroscope-io belongs to the main interpreter. */
  if (PY (PyInterpreterState_Get) () != PY (PyInterpreterState_Main) ())
    return;
  struct gp_python_id *row = gp_python_id_row ((uintptr_t) pthread_self ());
  if (row == NULL)
    return;
  if (!are_of (&row->tags, label)) {
    struct gp_python_tags before = row->tags, after = *tags_of (label);
    for_each_pair (&after, PY (Py_IncRef));
    /* Before the calls: during one another thread may get the lock, and move the row or make the label's tags anew. */
    row->tags = after;
    PyObject *type, *value, *trace;
    PY (PyErr_Fetch) (&type, &value, &trace);
    call_for_each (g_remove_tag, &before);
    call_for_each (g_add_tag, &after);
    PY (PyErr_Restore) (type, value, trace);
    for_each_pair (&before, PY (Py_DecRef));
  }
  if (thread != NULL) {
    thread->python_label = label;
    thread->python_serial = g_segment->labels[label].serial;
  }
}

void
gp_python_tags_use (PyObject *add, PyObject *remove)
{
  g_add_tag = add;
  g_remove_tag = remove;
  atomic_store_explicit (&g_python_tags_wanted, add != NULL, memory_order_release); /* pairs with the acquire in
                                                                                        gp_python_tags_wanted() */
}
