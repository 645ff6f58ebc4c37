/* SPDX-License-Identifier: MIT */
/* gst.c: looks GStreamer's functions up in the host; our lines in its debug log and on stderr.
 *
 * Context: lifecycle and poller.
 */
#define _GNU_SOURCE
#include "gst.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct gp_gst g_gst;

static pthread_mutex_t g_log_lock = PTHREAD_MUTEX_INITIALIZER;

const char *
gp_gst_load (void)
{
  /* A handle on it sees GLib and GObject too, which it needs. Statically linked GStreamer has its symbols global. */
  void *handle = dlopen ("libgstreamer-1.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
  if (handle == NULL)
    handle = RTLD_DEFAULT;
#define GP_LOOK_UP(name)                                                                                               \
  *(void **) &g_gst.name##_ = dlsym (handle, #name);                                                                   \
  if (g_gst.name##_ == NULL)                                                                                           \
    return #name;
  GP_GST_FUNCTIONS (GP_LOOK_UP)
#undef GP_LOOK_UP
  *(void **) &g_gst.nameof_funcptr = dlsym (handle, "_gst_debug_nameof_funcptr");
  GstDebugCategory *(*new_category) (const char *, unsigned, const char *);
  *(void **) &new_category = dlsym (handle, "_gst_debug_category_new");
  if (new_category != NULL)
    g_gst.category = new_category ("pyroscope", 0, "CPU profile of the elements, pushed to Pyroscope");
  return NULL;
}

void
gp_gst_log (GstDebugLevel level, const char *format, ...)
{
  char text[1024];
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);
  pthread_mutex_lock (&g_log_lock);
  if (g_gst.category != NULL && (int) level <= g_gst.category->threshold)
    GST (gst_debug_log) (g_gst.category, level, "gst-pyro-shim", "", 0, NULL, "%s", text);
  pthread_mutex_unlock (&g_log_lock);
}

void
gp_gst_close_log (void)
{
  pthread_mutex_lock (&g_log_lock);
  g_gst.category = NULL;
  pthread_mutex_unlock (&g_log_lock);
}

void
gp_say (const char *format, ...)
{
  char text[1024] = "gst-pyro: ";
  va_list arguments;
  va_start (arguments, format);
  size_t at = strlen (text);
  int wrote = vsnprintf (text + at, sizeof text - at - 1, format, arguments);
  va_end (arguments);
  at += wrote < 0 ? 0 : (size_t) wrote < sizeof text - at - 1 ? (size_t) wrote : sizeof text - at - 2;
  text[at++] = '\n';
  gp_write_stderr (text, at);
}
