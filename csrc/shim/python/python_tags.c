/* SPDX-License-Identifier: MIT */
/* python_tags.c: the label in force, as pyroscope-io's tags of the thread that enters Python.
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

#include <pthread.h>
#include <stdio.h>
#include "shim/labels/label_rows.h"
#include "shim/python/python_ids.h"

enum
{
  PATH_BYTES = 2048
};

_Atomic bool g_python_tags_wanted;

/* Of each label; made at its first entry, and anew where its row or its place is another's. */
static struct gp_python_tags g_tags[GP_LABELS];

static PyObject *g_add_tag, *g_remove_tag;

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

void
gp_python_tag (struct gp_thread *thread, uint32_t label)
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

void
gp_python_tags_use (PyObject *add, PyObject *remove)
{
  g_add_tag = add;
  g_remove_tag = remove;
  atomic_store_explicit (&g_python_tags_wanted, add != NULL, memory_order_release); /* pairs with the acquire in
                                                                                        gp_python_tags_wanted() */
}
