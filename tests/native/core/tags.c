/* SPDX-License-Identifier: MIT */
/* tags.c: tags of a thread that enters Python. The interpreter and pyroscope-io's functions are stubs.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "core.h"
#include "shim/python/python_entry.h"

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

static void
refer (PyObject *object)
{
  (void) object;
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

/* As pyroscope-io does, which waits for a lock and changes errno. */
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
    .Py_IncRef_ = refer,
    .Py_DecRef_ = refer,
    .PyUnicode_DecodeUTF8_ = make_text,
    .Py_BuildValue_ = make_tuple,
    .PyObject_CallObject_ = call,
    .Py_AddPendingCall_ = queue,
  };
  gp_python_tagging_start ((PyObject *) &add, (PyObject *) &remove);
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

/* The next user of a label's row is another element. */
TEST (tags_change_with_the_element)
{
  core_start (100);
  start_python ();
  uint32_t main_thread = gp_label_fixed (GP_LABEL_MAIN), one = element ("one");
  gp_label_set_base (gp_thread_known (), one);
  gp_python_restore (NULL);
  gp_label_set_base (gp_thread_known (), main_thread);
  gp_label_gone (one);
  others_come_and_go (100, 1 << 20);
  free_ended ();
  while (element ("two") != one)
    continue;
  gp_label_set_base (gp_thread_known (), one);
  g_calls = 0;
  gp_python_restore (NULL);
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
  gp_python_tagging_stop ();
  gp_label_set_base (gp_thread_known (), element ("two"));
  gp_python_restore (NULL);
  CHECK_EQUAL (g_calls, 0);
}

static int g_tagged_calls[2]; /* of the first half of the threads, and of the others */

static void *
enter_python (void *half)
{
  gp_label_set_base (gp_thread_current (), element ("worker"));
  g_calls = 0;
  gp_python_restore (NULL);
  g_tagged_calls[(uintptr_t) half] += g_calls > 0;
  return NULL;
}

/* Each on a stack of its own: a thread's id lies there. More ids than the first table holds, then more than any. */
TEST (threads_have_tags_however_many_ids_there_were)
{
  enum
  {
    THREADS = 34000,
    MOST = 32768,
    STACK_BYTES = 32768
  };
  core_start (1);
  start_python ();
  char *stacks = mmap (
      NULL, (size_t) THREADS * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stacks == MAP_FAILED)
    skip ("there is no room for so many stacks");
  for (uintptr_t i = 0; i < THREADS; i++) {
    char *stack = stacks + i * STACK_BYTES;
    pthread_attr_t attr;
    pthread_t id;
    pthread_attr_init (&attr);
    pthread_attr_setstack (&attr, stack, STACK_BYTES);
    CHECK_EQUAL (pthread_create (&id, &attr, enter_python, (void *) (i >= 5000 ? 1ul : 0ul)), 0);
    pthread_join (id, NULL);
    madvise (stack, STACK_BYTES, MADV_DONTNEED);
    if (i % 1000 == 999)
      free_ended ();
  }
  CHECK_EQUAL (g_tagged_calls[0], 5000);
  CHECK_EQUAL (g_tagged_calls[0] + g_tagged_calls[1], MOST - 1); /* the main thread has one */
  CHECK_EQUAL (counter (GP_COUNTER_TAGS_FULL), THREADS - (MOST - 1));
}
