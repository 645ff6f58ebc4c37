/* SPDX-License-Identifier: MIT */
/* preload.c: what LD_PRELOAD does in every process it reaches. It sets variables that GStreamer reads: GST_PLUGIN_PATH,
 * GST_TRACERS, and GST_PLUGIN_LOADING_WHITELIST where that is in use.
 *
 * Not an interposed gst_init(): bindings that look symbols up by handle (PyGObject) never call that one.
 *
 * Context: lifecycle (constructor and destructor of the object).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "shim/base/cycle_counter.h"
#include "shim/base/gst_api.h"
#include "shim/start/start.h"

static bool g_preloaded;
/* The line of on_unload() was printed. On a page that forked children share, so that one process prints it for all of
 * them. NULL: there was no memory for the page. */
static atomic_bool *g_said;

static bool
holds (const char *list, const char *word, char separator)
{
  size_t bytes = strlen (word);
  for (const char *at = list; at != NULL && (at = strstr (at, word)) != NULL; at++)
    if ((at == list || at[-1] == separator) && (at[bytes] == '\0' || at[bytes] == separator || at[bytes] == '('))
      return true;
  return false;
}

/* Appends a word to a list in the environment, where it is not in it yet: children inherit the list. */
static void
append (const char *variable, const char *word, char separator)
{
  const char *list = getenv (variable);
  char *text = NULL;
  if (holds (list, word, separator))
    return;
  if (asprintf (&text, "%s%s%s", list != NULL ? list : "",
          list != NULL && *list != '\0' ? (char[]) { separator, '\0' } : "", word)
      >= 0)
    setenv (variable, text, 1);
  free (text);
}

static __attribute__ ((constructor)) void
on_load (void)
{
  Dl_info info;
  char path[PATH_MAX];
  const char *preload = getenv ("LD_PRELOAD");
  /* Nothing is to be set where GStreamer loads this object as a plugin, and in the plugin scanner, which runs no
   * pipeline. In a setuid program the environment is not trusted. */
  if (getauxval (AT_SECURE) != 0 || preload == NULL || strstr (preload, "libgstpyro.so") == NULL
      || strcmp (program_invocation_short_name, "gst-plugin-scanner") == 0
      || dladdr ((void *) (uintptr_t) on_load, &info) == 0 || realpath (info.dli_fname, path) == NULL)
    return;
  char *slash = strrchr (path, '/');
  if (slash == NULL)
    return;
  *slash = '\0';
  g_preloaded = true;
  gp_cycles_begin ();
  append (getenv ("GST_PLUGIN_PATH_1_0") != NULL ? "GST_PLUGIN_PATH_1_0" : "GST_PLUGIN_PATH", path, ':');
  append ("GST_TRACERS", "pyroscope", ';');
  /* GStreamer loads only what this list allows; its own check suites set it. An empty list allows everything. */
  const char *allowed = getenv ("GST_PLUGIN_LOADING_WHITELIST");
  if (allowed != NULL && *allowed != '\0')
    append ("GST_PLUGIN_LOADING_WHITELIST", GP_PLUGIN_SOURCE, ':');
  void *page = mmap (NULL, sizeof *g_said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_said = page != MAP_FAILED ? page : NULL;
}

/* GStreamer ran and never made the tracer: without this line the user would see no profile and no reason. */
static __attribute__ ((destructor)) void
on_unload (void)
{
  if (!g_preloaded || gp_start_was_called ())
    return;
  void *gstreamer = dlopen ("libgstreamer-1.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
  gboolean (*is_initialized) (void) = NULL;
  if (gstreamer != NULL)
    *(void **) &is_initialized = dlsym (gstreamer, "gst_is_initialized");
  if (is_initialized == NULL || !is_initialized () || (g_said != NULL && atomic_exchange (g_said, true)))
    return;
  const char *update = getenv ("GST_REGISTRY_UPDATE"), *why;
  if (!holds (getenv ("GST_TRACERS"), "pyroscope", ';'))
    why = "The program has set GST_TRACERS itself, without pyroscope: add it there";
  else if (update != NULL && strcmp (update, "no") == 0)
    why = "GST_REGISTRY_UPDATE=no keeps it from finding new plugins: unset it for one run, or point GST_REGISTRY to a "
          "new file";
  else
    why = "Run it with GST_DEBUG=GST_PLUGIN_LOADING:5,GST_REGISTRY:5 to see why";
  gp_say ("no profile: GStreamer did not load the tracer. %s", why);
}
