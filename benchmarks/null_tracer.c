/* SPDX-License-Identifier: MIT */
/* null_tracer.c: a tracer with one hook that is never called once data flows. What it costs is GStreamer's own floor:
 * with any hook registered every hook point takes the time and looks for hooks. The environment's NULL_TRACER_HOOKS,
 * names with commas between them, are further hooks, which do nothing.
 *
 * Context: target of bench_hooks.py and bench_churn.py.
 */
#define GST_USE_UNSTABLE_API
#include <gst/gst.h>
#include <gst/gsttracer.h>

typedef struct
{
  GstTracer parent;
} NullTracer;

typedef struct
{
  GstTracerClass parent_class;
} NullTracerClass;

static GType null_tracer_get_type (void);
G_DEFINE_TYPE (NullTracer, null_tracer, GST_TYPE_TRACER)

static void
null_tracer_class_init (NullTracerClass *class)
{
  (void) class;
}

static void
on_new_pad (GObject *tracer, GstClockTime time, GstElement *element, GstPad *pad)
{
  (void) tracer, (void) time, (void) element, (void) pad;
}

static void
do_nothing (void)
{
}

static void
null_tracer_init (NullTracer *tracer)
{
  gst_tracing_register_hook (GST_TRACER (tracer), "element-add-pad", G_CALLBACK (on_new_pad));
  const char *names = g_getenv ("NULL_TRACER_HOOKS");
  gchar **hooks = g_strsplit (names != NULL ? names : "", ",", -1);
  for (gchar **hook = hooks; *hook != NULL; hook++)
    gst_tracing_register_hook (GST_TRACER (tracer), *hook, G_CALLBACK (do_nothing));
  g_strfreev (hooks);
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  return gst_tracer_register (plugin, "null", null_tracer_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, nulltracer, "does nothing", plugin_init, "1.0", "MIT",
    "gst-pyro-shim", "https://example.invalid/")
