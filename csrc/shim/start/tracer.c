/* SPDX-License-Identifier: MIT */
/**
 * SECTION:tracer-pyroscope
 * @short_description: profile of the CPU by element
 *
 * A tracing module that labels each thread with the element it works for, accounts the CPU it uses to that label,
 * samples its stack, and has the profile pushed to a Grafana Pyroscope server.
 *
 * |[
 * GST_TRACERS='pyroscope(server-url="http://localhost:4040",tags="env=dev")' gst-launch-1.0 videotestsrc ! fakesink
 * ]|
 */
/* tracer.c: the GstTracer and the plugin that holds it. Registered by hand: GObject's macros would call functions that
 * this object is not linked with (gst_api.h).
 *
 * Context: lifecycle.
 */
#include "shim/base/gst_api.h"
#include "shim/start/start.h"
#include "shim/stop/stop.h"

typedef struct
{
  GstTracer parent;
} GstPyroTracer;

typedef struct
{
  GstTracerClass parent_class;
} GstPyroTracerClass;

static GObjectClass *parent_class;

static void
gst_pyro_tracer_constructed (GObject *object)
{
  gchar *params = NULL;
  parent_class->constructed (object);
  GST (g_object_get) (object, "params", &params, NULL);
  gp_start ((GstTracer *) object, params);
  GST (g_free) (params);
}

static void
gst_pyro_tracer_dispose (GObject *object)
{
  gp_stop_at_dispose ();
  parent_class->dispose (object);
}

static void
gst_pyro_tracer_class_init (gpointer class, gpointer data)
{
  (void) data;
  parent_class = GST (g_type_class_peek_parent) (class);
  ((GObjectClass *) class)->constructed = gst_pyro_tracer_constructed;
  ((GObjectClass *) class)->dispose = gst_pyro_tracer_dispose;
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  const char *missing = gp_gst_load ();
  if (missing != NULL) {
    gp_say ("this GStreamer has no %s: nothing is profiled. Install GStreamer 1.20 or newer", missing);
    return FALSE;
  }
  GType type = GST (g_type_register_static_simple) (GST (gst_tracer_get_type) (), "GstPyroTracer",
      sizeof (GstPyroTracerClass), gst_pyro_tracer_class_init, sizeof (GstPyroTracer), NULL, 0);
  return type != 0 && GST (gst_tracer_register) (plugin, "pyroscope", type);
}

static const GstPluginDesc plugin_desc = {
  .major_version = GST_VERSION_MAJOR,
  .minor_version = 20, /* the oldest supported: GStreamer refuses plugins newer than itself */
  .name = "pyro",
  .description = "Profile of the CPU by element, pushed to Grafana Pyroscope",
  .plugin_init = plugin_init,
  .version = GP_VERSION,
  .license = "MIT/X11",
  .source = GP_PLUGIN_SOURCE,
  .package = "gst-pyro-shim",
  .origin = "Unknown package origin",
};

__attribute__ ((visibility ("default"))) const GstPluginDesc *gst_plugin_pyro_get_desc (void);

const GstPluginDesc *
gst_plugin_pyro_get_desc (void)
{
  return &plugin_desc;
}
