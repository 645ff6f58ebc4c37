/* SPDX-License-Identifier: MIT */
/* gst_api.c: looks GStreamer's functions up in the host; our lines in its debug log and on stderr.
 *
 * Context: lifecycle and poller.
 */
#define _GNU_SOURCE
#include "shim/base/gst_api.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "shared/raw_syscall.h"

enum
{
  CLOSE_WAIT_MS = 100 /* a log function takes far less for a line, unless it waits for the thread in gst_deinit() */
};

struct gp_gst g_gst;

static _Atomic uint32_t g_lines_on_their_way;

const char *
gp_gst_load (void)
{
  /* Through its handle GLib and GObject are found too, which it needs. A statically linked GStreamer has global
   * symbols. */
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
  /* Under no lock, since the host's log functions may do anything. The line is counted first: either this function sees
   * that the log is closed, or gp_gst_close_log() sees the line (both are sequentially consistent). */
  atomic_fetch_add (&g_lines_on_their_way, 1);
  GstDebugCategory *category = __atomic_load_n (&g_gst.category, __ATOMIC_SEQ_CST);
  if (category != NULL && (int) level <= category->threshold)
    GST (gst_debug_log) (category, level, "gst-pyro-shim", "", 0, NULL, "%s", text);
  atomic_fetch_sub (&g_lines_on_their_way, 1);
}

void
gp_gst_close_log (void)
{
  static const struct timespec pause = { .tv_nsec = 1000000 };
  __atomic_store_n (&g_gst.category, NULL, __ATOMIC_SEQ_CST);
  for (int ms = 0; ms < CLOSE_WAIT_MS && atomic_load (&g_lines_on_their_way) != 0; ms++)
    gp_syscall (SYS_nanosleep, &pause, NULL);
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
