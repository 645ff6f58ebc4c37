/* SPDX-License-Identifier: MIT */
/* gstneedspython.c: a plugin with one element, linked with a libpython that it does not start.
 *
 * Context: tests.
 */
#include <gst/gst.h>

extern int Py_IsInitialized (void);

typedef struct
{
  GstElement parent;
} GstNeedsPython;

typedef struct
{
  GstElementClass parent_class;
} GstNeedsPythonClass;

GType gst_needs_python_get_type (void);
G_DEFINE_TYPE (GstNeedsPython, gst_needs_python, GST_TYPE_ELEMENT)

int (*volatile g_needed) (void);

static void
gst_needs_python_class_init (GstNeedsPythonClass *class)
{
  g_needed = Py_IsInitialized;
  gst_element_class_set_static_metadata (
      GST_ELEMENT_CLASS (class), "Needs Python", "Generic", "Nothing", "gst-pyro-shim");
}

static void
gst_needs_python_init (GstNeedsPython *self)
{
  (void) self;
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  return gst_element_register (plugin, "needspython", GST_RANK_NONE, gst_needs_python_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, needspython, "Needs Python", plugin_init, "1.0", "MIT/X11",
    "gst-pyro-shim", "gst-pyro-shim")
