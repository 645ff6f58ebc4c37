/* SPDX-License-Identifier: MIT */
/* tags.c: what a thread that enters Python meets, with an interpreter of stubs: pyroscope-io's functions are names.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include "python.h"
#include "python_tags.h"

static int g_calls;

static int
take (void)
{
  return 1;
}

static void
take_back (void *state)
{
  (void) state;
}

static void *
no_object (void)
{
  return NULL;
}

static void
fetch (PyObject **type, PyObject **value, PyObject **trace)
{
  *type = *value = *trace = NULL;
}

static void
give_back (PyObject *type, PyObject *value, PyObject *trace)
{
  (void) type, (void) value, (void) trace;
}

static void
nothing (void)
{
}

static PyObject *
make_text (const char *text, ptrdiff_t bytes, const char *errors)
{
  (void) bytes, (void) errors;
  return (PyObject *) text;
}

static PyObject *
make_tuple (const char *format, ...)
{
  return (PyObject *) format;
}

/* pyroscope-io waits for a lock of its own. */
static PyObject *
call (PyObject *function, PyObject *arguments)
{
  (void) function, (void) arguments;
  g_calls++;
  errno = EAGAIN;
  return NULL;
}

static int
queue (int (*function) (void *), void *argument)
{
  return function (argument);
}

static void
start_python (void)
{
  static char add, remove;
  g_python_real = (struct gp_python_lock) { .ensure = take, .restore = take_back };
  g_python_api = (struct gp_python_api) {
    .PyInterpreterState_Get_ = no_object,
    .PyInterpreterState_Main_ = no_object,
    .PyErr_Fetch_ = fetch,
    .PyErr_Restore_ = give_back,
    .PyErr_Clear_ = nothing,
    .PyUnicode_DecodeUTF8_ = make_text,
    .Py_BuildValue_ = make_tuple,
    .PyObject_CallObject_ = call,
    .Py_AddPendingCall_ = queue,
  };
  gp_python_tags_set ((PyObject *) &add, (PyObject *) &remove);
}

TEST (errno_is_as_it_was)
{
  core_start (100);
  start_python ();
  gp_label_set_base (gp_thread_known (), element ("one"));
  g_calls = 0;
  errno = ENOENT;
  gp_python_restore (NULL);
  CHECK_EQUAL (errno, ENOENT);
  CHECK (g_calls > 0);
  gp_label_set_base (gp_thread_known (), element ("two"));
  g_calls = 0;
  gp_python_ensure ();
  CHECK_EQUAL (errno, ENOENT);
  CHECK (g_calls > 0);
}

TEST (tags_change_with_the_label_alone)
{
  core_start (100);
  start_python ();
  gp_label_set_base (gp_thread_known (), element ("one"));
  gp_python_restore (NULL);
  g_calls = 0;
  gp_python_restore (NULL);
  CHECK_EQUAL (g_calls, 0);
  gp_python_tags_set (NULL, NULL);
  gp_label_set_base (gp_thread_known (), element ("two"));
  gp_python_restore (NULL);
  CHECK_EQUAL (g_calls, 0);
}
