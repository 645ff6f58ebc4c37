/* SPDX-License-Identifier: MIT */
/* names_formats.c: names the functions by which libgstvideo and libgstaudio pack and unpack each format. All
 * conversions use them.
 *
 * They are neither exported nor registered, but each format's public description points to its two functions. The
 * offsets are those of GstVideoFormatInfo and GstAudioFormatInfo; tests/native/test_class_slots.py compares them with
 * the headers.
 *
 * Context: poller.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "shim/redirect/redirect.h"
#include "shim/modules/modules.h"
#include "shim/names/names_formats.h"
#include "shim/base/gst_api.h"
#include "shim/names/names_list.h"

enum
{
  MAX_FUNCTIONS = 512,
  SHOWN_FORMATS = 3, /* names of so many formats that share a function are shown */
  TEXT_BYTES = 128
};

struct format_library
{
  const char *file, *get_type, *get_info, *info;
  size_t unpack, pack; /* offsets of the functions */
  bool done;
};

struct named_function
{
  uintptr_t start;
  int formats;
  char text[TEXT_BYTES];
};

static struct format_library g_libraries[] = {
  { "libgstvideo-1.0.so.0", "gst_video_format_get_type", "gst_video_format_get_info", "GstVideoFormatInfo", 160, 176,
      false },
  { "libgstaudio-1.0.so.0", "gst_audio_format_get_type", "gst_audio_format_get_info", "GstAudioFormatInfo", 56, 64,
      false },
};

static struct named_function g_found[MAX_FUNCTIONS];

static size_t
note (size_t count, uintptr_t start, const char *info, const char *slot, const char *format)
{
  size_t at = 0;
  while (at < count && g_found[at].start != start)
    at++;
  if (start == 0 || at == MAX_FUNCTIONS)
    return count;
  struct named_function *function = &g_found[at];
  if (at == count)
    *function = (struct named_function) { .start = start };
  size_t used = strlen (function->text);
  char *end = function->text + used;
  if (function->formats == 0)
    snprintf (end, TEXT_BYTES - used, "%s.%s (%s", info, slot, format);
  else if (function->formats < SHOWN_FORMATS)
    snprintf (end, TEXT_BYTES - used, ", %s", format);
  else if (function->formats == SHOWN_FORMATS)
    snprintf (end, TEXT_BYTES - used, ", …");
  function->formats++;
  return at == count ? count + 1 : count;
}

static void
name_library (struct format_library *library)
{
  /* The handle is never closed: the library's types keep it loaded in any case. */
  atomic_store (&g_redirect_at_loader, true);
  void *handle = dlopen (library->file, RTLD_LAZY | RTLD_NOLOAD);
  atomic_store (&g_redirect_at_loader, false);
  if (handle == NULL)
    return;
  library->done = true;
  GType (*get_type) (void);
  const char *(*get_info) (int);
  atomic_store (&g_redirect_at_loader, true);
  *(void **) &get_type = dlsym (handle, library->get_type);
  *(void **) &get_info = dlsym (handle, library->get_info);
  atomic_store (&g_redirect_at_loader, false);
  const GEnumClass *formats = get_type != NULL ? GST (g_type_class_ref) (get_type ()) : NULL;
  size_t count = 0;
  for (guint i = 0; formats != NULL && get_info != NULL && i < formats->n_values; i++) {
    const char *info = get_info (formats->values[i].value), *name = formats->values[i].value_nick;
    uintptr_t unpack, pack;
    if (info == NULL)
      continue;
    memcpy (&unpack, info + library->unpack, sizeof unpack);
    memcpy (&pack, info + library->pack, sizeof pack);
    count = note (count, unpack, library->info, "unpack_func", name);
    count = note (count, pack, library->info, "pack_func", name);
  }
  for (size_t i = 0; i < count; i++) {
    size_t used = strlen (g_found[i].text);
    snprintf (g_found[i].text + used, TEXT_BYTES - used, ")");
    if (gp_modules_listed (g_found[i].start) != NULL)
      gp_names_add (g_found[i].start, 0, g_found[i].text);
  }
}

void
gp_names_formats (void)
{
  for (size_t i = 0; i < sizeof g_libraries / sizeof g_libraries[0]; i++)
    if (!g_libraries[i].done)
      name_library (&g_libraries[i]);
}
