/* SPDX-License-Identifier: MIT */
/* gstinlines.c: an element whose CPU goes into static functions and calls inlined into them.
 *
 * Context: target; built with debug information, which is then stripped and served apart.
 */
#include <gst/base/gstbasetransform.h>

enum
{
  ROUNDS = 40000
};

typedef struct
{
  GstBaseTransform parent;
  guint32 state;
} Inlines;

typedef struct
{
  GstBaseTransformClass parent_class;
} InlinesClass;

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

static GType inlines_get_type (void);
G_DEFINE_TYPE (Inlines, inlines, GST_TYPE_BASE_TRANSFORM)

static inline __attribute__ ((always_inline)) guint32
mix (guint32 x)
{
  x ^= x << 13;
  x ^= x >> 17; /* line of mix */
  return x ^ x << 5;
}

static inline __attribute__ ((always_inline)) guint32
stir (guint32 x, int times)
{
  for (int i = 0; i < times; i++)
    x = mix (x) + (guint32) i; /* line of stir */
  return x;
}

static __attribute__ ((noinline)) guint32
churn (guint32 x)
{
  return stir (x, ROUNDS) + 1; /* line of churn */
}

static GstFlowReturn
inlines_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  Inlines *self = (Inlines *) base;
  (void) buffer;
  for (int i = 0; i < 20; i++)
    self->state = churn (self->state + 1);
  return GST_FLOW_OK;
}

static void
inlines_init (Inlines *self)
{
  self->state = 1;
}

static void
inlines_class_init (InlinesClass *klass)
{
  GstElementClass *element = GST_ELEMENT_CLASS (klass);
  gst_element_class_add_static_pad_template (element, &sink_template);
  gst_element_class_add_static_pad_template (element, &src_template);
  gst_element_class_set_static_metadata (element, "inlines", "Generic", "burns CPU in inlined calls", "tests");
  GST_BASE_TRANSFORM_CLASS (klass)->transform_ip = inlines_transform_ip;
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  return gst_element_register (plugin, "inlines", GST_RANK_NONE, inlines_get_type ());
}

#define PACKAGE "gst-pyro-shim"
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, inlines, "burns CPU in inlined calls", plugin_init, "0", "MIT",
    "gst-pyro-shim", "https://example.org")
