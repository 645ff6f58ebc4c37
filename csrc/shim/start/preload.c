/* SPDX-License-Identifier: MIT */
/* preload.c: what LD_PRELOAD does, in every process it reaches: environment variables that GStreamer reads, two or
 * three.
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
/* Shared with the children that are forked: one word for all of them. NULL: there was no memory for it. */
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

/* Appends, never replaces; once, however many processes deep. */
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
  /* Come by GST_PLUGIN_PATH, everything is set already; nothing is trusted from the environment of a setuid program;
   * the scanner only looks at plugins. */
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
  /* Set where GStreamer tests itself: nothing else is loaded then. Set to nothing it keeps nothing out. */
  const char *allowed = getenv ("GST_PLUGIN_LOADING_WHITELIST");
  if (allowed != NULL && *allowed != '\0')
    append ("GST_PLUGIN_LOADING_WHITELIST", GP_PLUGIN_SOURCE, ':');
  void *page = mmap (NULL, sizeof *g_said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_said = page != MAP_FAILED ? page : NULL;
}

/* GStreamer ran, and never made the tracer: the one silence that needs a word. */
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
    why = "The program has set GST_TRACERS itself, without pyroscope";
  else if (update != NULL && strcmp (update, "no") == 0)
    why = "GST_REGISTRY_UPDATE=no keeps it from finding new plugins: unset it for one run, or point GST_REGISTRY to a "
          "new file";
  else
    why = "GST_DEBUG=GST_PLUGIN_LOADING:5,GST_REGISTRY:5 says why";
  gp_say ("no profile: GStreamer did not load the tracer. %s", why);
}
