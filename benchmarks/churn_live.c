/* SPDX-License-Identifier: MIT */
/* churn_live.c: a live pipeline that is changed while it runs, and plugins that come and go.
 *
 * Context: part of churn_host.c.
 */
#include "churn.h"

#include <dlfcn.h>

struct live
{
  GstElement *pipeline, *tee;
  GstBus *bus;
  GMutex lock;
  GCond changed;
  gboolean flows, unlinked; /* under the lock: data came through the branch; nothing more will */
};

struct live *
churn_live_start (void)
{
  struct live *live = g_new0 (struct live, 1);
  GError *error = NULL;
  live->pipeline = gst_parse_launch (
      "fakesrc ! identity sleep-time=1000 ! tee name=tee ! queue ! fakesink async=false sync=false", &error);
  if (error != NULL)
    g_error ("%s", error->message);
  live->tee = gst_bin_get_by_name (GST_BIN (live->pipeline), "tee");
  live->bus = gst_element_get_bus (live->pipeline);
  gst_element_set_state (live->pipeline, GST_STATE_PLAYING);
  return live;
}

void
churn_live_stop (struct live *live)
{
  gst_element_set_state (live->pipeline, GST_STATE_NULL);
  gst_object_unref (live->bus);
  gst_object_unref (live->tee);
  gst_object_unref (live->pipeline);
  g_free (live);
}

static void
tell (struct live *live, gboolean *what)
{
  g_mutex_lock (&live->lock);
  *what = TRUE;
  g_cond_broadcast (&live->changed);
  g_mutex_unlock (&live->lock);
}

static void
wait_until (struct live *live, gboolean *what)
{
  g_mutex_lock (&live->lock);
  while (!*what)
    g_cond_wait (&live->changed, &live->lock);
  *what = FALSE;
  g_mutex_unlock (&live->lock);
}

static GstPadProbeReturn
on_data (GstPad *pad, GstPadProbeInfo *info, gpointer live)
{
  (void) pad, (void) info;
  tell (live, &((struct live *) live)->flows);
  return GST_PAD_PROBE_REMOVE;
}

static GstPadProbeReturn
on_idle (GstPad *pad, GstPadProbeInfo *info, gpointer live)
{
  (void) info;
  GstPad *peer = gst_pad_get_peer (pad);
  gst_pad_unlink (pad, peer);
  gst_object_unref (peer);
  tell (live, &((struct live *) live)->unlinked);
  return GST_PAD_PROBE_REMOVE;
}

void
churn_live_branch (struct live *live)
{
  GstElement *branch =
      gst_parse_bin_from_description ("queue ! identity ! fakesink name=end async=false sync=false", TRUE, NULL);
  GstElement *end = gst_bin_get_by_name (GST_BIN (branch), "end");
  GstPad *end_pad = gst_element_get_static_pad (end, "sink");
  gst_pad_add_probe (end_pad, GST_PAD_PROBE_TYPE_BUFFER, on_data, live, NULL);
  gst_object_unref (end_pad);
  gst_object_unref (end);
  gst_bin_add (GST_BIN (live->pipeline), gst_object_ref (branch));
  gst_element_sync_state_with_parent (branch);
  GstPad *source = gst_element_request_pad_simple (live->tee, "src_%u");
  GstPad *sink = gst_element_get_static_pad (branch, "sink");
  if (gst_pad_link (source, sink) != GST_PAD_LINK_OK)
    g_error ("no link");
  wait_until (live, &live->flows);
  gst_pad_add_probe (source, GST_PAD_PROBE_TYPE_IDLE, on_idle, live, NULL);
  wait_until (live, &live->unlinked);
  gst_element_release_request_pad (live->tee, source);
  gst_object_unref (source);
  gst_object_unref (sink);
  gst_element_set_state (branch, GST_STATE_NULL);
  gst_bin_remove (GST_BIN (live->pipeline), branch);
  gst_object_unref (branch);
  /* Messages that nobody takes hold their elements. */
  for (GstMessage *message; (message = gst_bus_pop (live->bus)) != NULL;)
    gst_message_unref (message);
}

void
churn_live_dlopen (void)
{
  static const char *const names[] = { "alpha", "videobox", "subparse", "debug", "videocrop" };
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    GstPlugin *plugin = gst_registry_find_plugin (gst_registry_get (), names[i]);
    /* The file alone: nothing in it is run but for its constructors. */
    if (plugin != NULL && !gst_plugin_is_loaded (plugin)) {
      void *handle = dlopen (gst_plugin_get_filename (plugin), RTLD_NOW | RTLD_LOCAL);
      if (handle == NULL)
        g_error ("%s", dlerror ());
      dlclose (handle);
    }
    g_clear_pointer (&plugin, gst_object_unref);
  }
}
