/* SPDX-License-Identifier: MIT */
/* libpython.c: looks for a Python in the process, and in what the plugins of GStreamer's registry need.
 *
 * The names in DT_NEEDED are looked for where the loader finds them on most systems: in LD_LIBRARY_PATH, in the folder
 * of the file that needs them, and in the folders of all that is loaded already (the C library's is the system's own).
 * A name that is in none of them is skipped.
 *
 * Context: poller; gp_libpython_is_loaded() runs on the agent's thread, gp_libpython_comes_with() on the host's
 * (lifecycle).
 */
#define _GNU_SOURCE
#include "shim/home/libpython.h"

#include <dlfcn.h>
#include <link.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim/base/gst_api.h"
#include "shim/home/needed.h"

enum
{
  NAMES = 4096, /* a power of two; at most half of it is used, and further libraries are skipped */
  FOLDERS = 64
};

struct search
{
  char *folders[FOLDERS];
  size_t folder_count;
  char *names[NAMES]; /* hash table of the names seen so far */
  size_t name_count;
  const char *path; /* the file whose DT_NEEDED is being read */
  bool has_python;  /* a libpython is loaded */
};

static bool
is_libpython (const char *path)
{
  const char *slash = strrchr (path, '/');
  return strncmp (slash != NULL ? slash + 1 : path, "libpython", 9) == 0;
}

static void
add_folder (struct search *search, const char *folder, size_t bytes)
{
  for (size_t i = 0; i < search->folder_count; i++)
    if (strncmp (search->folders[i], folder, bytes) == 0 && search->folders[i][bytes] == '\0')
      return;
  char *copy = bytes > 0 && search->folder_count < FOLDERS ? strndup (folder, bytes) : NULL;
  if (copy != NULL)
    search->folders[search->folder_count++] = copy;
}

static int
note_loaded (struct dl_phdr_info *info, size_t bytes, void *data)
{
  (void) bytes;
  const char *slash = strrchr (info->dlpi_name, '/');
  if (slash != NULL)
    add_folder (data, info->dlpi_name, (size_t) (slash - info->dlpi_name));
  if (is_libpython (info->dlpi_name))
    ((struct search *) data)->has_python = true;
  return 0;
}

/* False: the name was seen before, or there is no room for it. */
static bool
add_name (struct search *search, const char *name)
{
  size_t at = 5381;
  for (const char *c = name; *c != '\0'; c++)
    at = at * 33 + (unsigned char) *c;
  for (;; at++) {
    char **place = &search->names[at % NAMES];
    if (*place != NULL && strcmp (*place, name) == 0)
      return false;
    if (*place != NULL)
      continue;
    if (search->name_count >= NAMES / 2 || (*place = strdup (name)) == NULL)
      return false;
    search->name_count++;
    return true;
  }
}

static bool needs_python (const char *name, void *data);

static bool
file_needs_python (struct search *search, const char *path)
{
  const char *before = search->path;
  search->path = path;
  bool found = gp_needed_any (path, needs_python, search);
  search->path = before;
  return found;
}

static bool
needs_python (const char *name, void *data)
{
  struct search *search = data;
  char path[PATH_MAX];
  if (is_libpython (name))
    return true;
  if (!add_name (search, name))
    return false;
  if (strchr (name, '/') != NULL)
    return file_needs_python (search, name);
  const char *slash = strrchr (search->path, '/');
  int own = slash != NULL ? (int) (slash - search->path) : 0;
  if (snprintf (path, sizeof path, "%.*s/%s", own, search->path, name) < (int) sizeof path && access (path, R_OK) == 0)
    return file_needs_python (search, path);
  for (size_t i = 0; i < search->folder_count; i++)
    if (snprintf (path, sizeof path, "%s/%s", search->folders[i], name) < (int) sizeof path && access (path, R_OK) == 0)
      return file_needs_python (search, path);
  return false;
}

static bool
plugins_need_python (struct search *search)
{
  GList *plugins = GST (gst_registry_get_plugin_list) (GST (gst_registry_get) ());
  bool found = false;
  for (GList *at = plugins; at != NULL && !found; at = at->next) {
    const gchar *path = GST (gst_plugin_get_filename) (at->data);
    /* libgstpython loads elements written in Python; some builds of it look for a libpython only when they run. */
    found = path != NULL && (strstr (path, "/libgstpython.") != NULL || file_needs_python (search, path));
    if (found)
      gp_gst_log (GST_LEVEL_INFO, "the plugin %s needs a Python", path);
  }
  GST (gst_plugin_list_free) (plugins);
  return found;
}

/* An executable that is linked with Python statically exports its functions, for extension modules. */
static bool
exports_python (void)
{
  return dlsym (RTLD_DEFAULT, "Py_IsInitialized") != NULL;
}

/* NULL: out of memory. Callers then answer that there is a Python, which is safe. */
static struct search *
begin (void)
{
  struct search *search = calloc (1, sizeof *search);
  const char *folders = secure_getenv ("LD_LIBRARY_PATH");
  if (search == NULL)
    return NULL;
  for (; folders != NULL && *folders != '\0'; folders += *folders == ':') {
    size_t bytes = strcspn (folders, ":");
    add_folder (search, folders, bytes);
    folders += bytes;
  }
  search->path = "";
  return search;
}

static void
end (struct search *search)
{
  for (size_t i = 0; i < search->folder_count; i++)
    free (search->folders[i]);
  for (size_t i = 0; i < NAMES; i++)
    free (search->names[i]);
  free (search);
}

bool
gp_libpython_is_loaded (void)
{
  struct search *search = begin ();
  if (search == NULL)
    return true;
  dl_iterate_phdr (note_loaded, search);
  bool is_loaded = search->has_python || exports_python ();
  end (search);
  return is_loaded;
}

bool
gp_libpython_may_come (void)
{
  struct search *search = begin ();
  if (search == NULL)
    return true;
  dl_iterate_phdr (note_loaded, search);
  bool may_come = search->has_python || plugins_need_python (search);
  end (search);
  return may_come;
}

bool
gp_libpython_comes_with (const char *library)
{
  struct search *search = begin ();
  if (search == NULL)
    return true;
  dl_iterate_phdr (note_loaded, search);
  bool comes = strchr (library, '/') != NULL ? is_libpython (library) || file_needs_python (search, library)
                                             : needs_python (library, search);
  end (search);
  return comes;
}
