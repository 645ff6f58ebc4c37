/* SPDX-License-Identifier: MIT */
/* python_api.h: functions of the host's CPython, looked up at run time. Neither linked nor compiled against it, so one
 * shim serves every version.
 *
 * All of them are in the stable ABI except PyGILState_Check, PyInterpreterState_Main and PyInterpreterState_Head, which
 * every CPython since 3.7 exports.
 *
 * Context: lifecycle; calls need the interpreter's lock.
 */
#ifndef GP_PYTHON_API_H
#define GP_PYTHON_API_H

#include <stddef.h>
#include <stdbool.h>
#include "shim/base/segment.h"

typedef struct gp_py_object PyObject; /* opaque */

#define GP_PYTHON_FUNCTIONS(X)                                                                                         \
  X (int, Py_IsInitialized, (void) )                                                                                   \
  X (int, PyGILState_Check, (void) )                                                                                   \
  X (void, PyGILState_Release, (int state))                                                                            \
  X (void *, PyInterpreterState_Get, (void) )                                                                          \
  X (void *, PyInterpreterState_Main, (void) )                                                                         \
  X (void *, PyInterpreterState_Head, (void) )                                                                         \
  X (int, Py_AddPendingCall, (int (*function) (void *), void *argument))                                               \
  X (void *, PyEval_SaveThread, (void) )                                                                               \
  X (void, PyEval_RestoreThread, (void *state))                                                                        \
  X (void, PyErr_Fetch, (PyObject **, PyObject **, PyObject **) )                                                      \
  X (void, PyErr_Restore, (PyObject *, PyObject *, PyObject *) )                                                       \
  X (void, PyErr_Clear, (void) )                                                                                       \
  X (void, Py_DecRef, (PyObject *) )                                                                                   \
  X (void, Py_IncRef, (PyObject *) )                                                                                   \
  X (PyObject *, PyObject_CallObject, (PyObject * function, PyObject * arguments))                                     \
  X (PyObject *, PyObject_CallFunction, (PyObject * function, const char *format, ...))                                \
  X (PyObject *, Py_BuildValue, (const char *format, ...))                                                             \
  X (PyObject *, PyUnicode_DecodeUTF8, (const char *text, ptrdiff_t bytes, const char *errors))                        \
  X (const char *, PyUnicode_AsUTF8AndSize, (PyObject *, ptrdiff_t *bytes))                                            \
  X (PyObject *, PyTuple_GetItem, (PyObject *, ptrdiff_t) )                                                            \
  X (int, PyObject_IsTrue, (PyObject *) )                                                                              \
  X (PyObject *, PyDict_New, (void) )                                                                                  \
  X (int, PyDict_SetItemString, (PyObject *, const char *key, PyObject *value))                                        \
  X (PyObject *, PyDict_GetItemString, (PyObject *, const char *key))                                                  \
  X (PyObject *, PyEval_GetBuiltins, (void) )                                                                          \
  X (PyObject *, PyEval_EvalCode, (PyObject * code, PyObject * globals, PyObject * locals))                            \
  X (PyObject *, Py_CompileString, (const char *text, const char *file, int start))

struct gp_python_api
{
#define GP_DECLARE(type, name, arguments) type (*name##_) arguments;
  GP_PYTHON_FUNCTIONS (GP_DECLARE)
#undef GP_DECLARE
};

extern GP_INTERNAL struct gp_python_api g_python_api;

#define PY(name) (g_python_api.name##_)

/* Fills the table from the module that holds the function at `known`. False: a function is missing.
 * MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL bool gp_python_api_load (void *known);

/* Whether the function is in the interpreter's module; false before the table is filled. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_python_api_holds (const void *function);

#endif
