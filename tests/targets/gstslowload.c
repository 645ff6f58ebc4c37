/* SPDX-License-Identifier: MIT */
/* gstslowload.c: a plugin that burns BURN_MS of CPU in each of the steps of its loading: a constructor of its library,
 * its init function, its element's class.
 *
 * Context: plugin of tests/targets/loads.c.
 */
#include <gst/gst.h>
#include <time.h>

enum
{
  BURN_MS = 60
};

static void
burn (void)
{
  struct timespec now, start;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &start);
  do {
    for (volatile int i = 0; i < 20000; i++)
      continue;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < BURN_MS);
}

typedef GstElement SlowLoad;
typedef GstElementClass SlowLoadClass;
static GType slow_load_get_type (void);
G_DEFINE_TYPE (SlowLoad, slow_load, GST_TYPE_ELEMENT)

static void
slow_load_init (SlowLoad *self)
{
  (void) self;
}

static void
slow_load_class_init (SlowLoadClass *class)
{
  gst_element_class_set_static_metadata (
      class, "Slow to load", "Test", "Burns CPU while it is loaded", "gst-pyro-shim");
  burn ();
}

static __attribute__ ((constructor)) void
on_load (void)
{
  burn ();
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  burn ();
  return gst_element_register (plugin, "slowload", GST_RANK_NONE, slow_load_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, slowload, "Slow to load", plugin_init, "1.0", "MIT/X11",
    "gst-pyro-shim", "https://example.org")
