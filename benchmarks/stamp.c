/* SPDX-License-Identifier: MIT */
/* stamp.c: an element that writes the time, CLOCK_MONOTONIC in ns, into the offset of each buffer.
 *
 * Context: target of bench_probe.py.
 */
#include <gst/base/gstbasetransform.h>
#include <time.h>

typedef struct
{
  GstBaseTransform parent;
} Stamp;

typedef struct
{
  GstBaseTransformClass parent_class;
} StampClass;

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

static GType stamp_get_type (void);
G_DEFINE_TYPE (Stamp, stamp, GST_TYPE_BASE_TRANSFORM)

static GstFlowReturn
stamp_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  (void) base;
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  GST_BUFFER_OFFSET (buffer) = (guint64) now.tv_sec * 1000000000u + (guint64) now.tv_nsec;
  return GST_FLOW_OK;
}

static void
stamp_class_init (StampClass *class)
{
  GstElementClass *element_class = GST_ELEMENT_CLASS (class);
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Stamp", "Filter", "Writes the time", "gst-pyro-shim");
  GST_BASE_TRANSFORM_CLASS (class)->transform_ip = stamp_transform_ip;
}

static void
stamp_init (Stamp *stamp)
{
  (void) stamp;
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  return gst_element_register (plugin, "stamp", GST_RANK_NONE, stamp_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, stamp, "writes the time", plugin_init, "1.0", "MIT",
    "gst-pyro-shim", "https://example.invalid/")
