/* SPDX-License-Identifier: MIT */
/* starts_python.c: a C host that starts a Python of its own argv[2] ms after gst_init(), runs a line in it, ends it,
 * and prints what it saw. argv[1] says how it comes to it: "linked" (build it with -DLINKED and -lpython…), "dlopen",
 * or "plugin" (argv[3] is a plugin of the registry whose library needs a libpython: with it that comes).
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <gst/gst.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LINKED
extern int Py_IsInitialized (void);
extern void Py_InitializeEx (int);
extern int PyRun_SimpleString (const char *);
extern int Py_FinalizeEx (void);
void *volatile g_anchor[] = { (void *) Py_IsInitialized, (void *) Py_InitializeEx, (void *) PyRun_SimpleString,
  (void *) Py_FinalizeEx };
#endif

static void *
find (const char *how, const char *library, const char *element, const char *name)
{
  static void *handle;
#ifdef LINKED
  if (g_anchor[0] != NULL)
    return dlsym (RTLD_DEFAULT, name);
#endif
  if (handle == NULL && strcmp (how, "plugin") == 0) {
    GstElement *made = gst_element_factory_make (element, NULL);
    if (made == NULL)
      exit (3);
    gst_object_unref (gst_object_ref_sink (made));
  }
  if (handle == NULL)
    handle = dlopen (library, RTLD_NOW | RTLD_GLOBAL);
  return handle != NULL ? dlsym (handle, name) : NULL;
}

int
main (int argc, char **argv)
{
  if (argc < 5)
    return 2;
  const char *how = argv[1], *library = argv[3], *element = argv[4];
  gst_init (NULL, NULL);
  GstElement *pipeline = gst_parse_launch ("fakesrc num-buffers=100 ! fakesink", NULL);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_usleep ((gulong) atoi (argv[2]) * 1000);
  int (*is_initialized) (void), (*run) (const char *), (*finalize) (void);
  void (*initialize) (int);
  *(void **) &is_initialized = find (how, library, element, "Py_IsInitialized");
  *(void **) &initialize = find (how, library, element, "Py_InitializeEx");
  *(void **) &run = find (how, library, element, "PyRun_SimpleString");
  *(void **) &finalize = find (how, library, element, "Py_FinalizeEx");
  if (is_initialized == NULL || initialize == NULL || run == NULL || finalize == NULL)
    return 4;
  printf ("was there: %d\n", is_initialized ());
  initialize (0);
  printf ("ran: %d\n",
      run ("import sys, threading, json\n"
           "ours = sorted(name for name in sys.modules if 'pyro' in name or 'pydantic' in name or 'cffi' in name)\n"
           "print(ours, threading.active_count(), sys.argv, sys.flags.isolated, flush=True)\n"));
  printf ("ended: %d\n", finalize ());
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return 6;
}
