/* SPDX-License-Identifier: MIT */
/* webrtc.c: two webrtcbins, `caller` and `callee`, in one process, each in a pipeline of its own name. The first sends
 * sound to the second over the loopback. Prints "heard" once HEARD packets have come.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>

enum
{
  HEARD = 150,
  WAIT_MS = 30000
};

static gint heard; /* atomic */

static void
count (GstElement *sink, GstBuffer *buffer, GstPad *pad, gpointer data)
{
  (void) sink, (void) buffer, (void) pad, (void) data;
  g_atomic_int_inc (&heard);
}

static void
add_sink (GstElement *callee, GstPad *pad, gpointer pipeline)
{
  (void) callee;
  GstElement *sink = gst_element_factory_make ("fakesink", NULL);
  g_object_set (sink, "async", FALSE, "signal-handoffs", TRUE, NULL);
  g_signal_connect (sink, "handoff", G_CALLBACK (count), NULL);
  gst_bin_add (GST_BIN (pipeline), sink);
  gst_element_sync_state_with_parent (sink);
  GstPad *end = gst_element_get_static_pad (sink, "sink");
  gst_pad_link (pad, end);
  gst_object_unref (end);
}

static void
pass_candidate (GstElement *from, guint line, gchar *candidate, gpointer to)
{
  (void) from;
  g_signal_emit_by_name (to, "add-ice-candidate", line, candidate);
}

/* No other interface than the loopback, which would not be asked otherwise. */
static void
keep_to_loopback (GstElement *webrtc)
{
  GstObject *ice;
  gboolean added = FALSE;
  g_object_get (webrtc, "ice-agent", &ice, NULL);
  g_signal_emit_by_name (ice, "add-local-ip-address", "127.0.0.1", &added);
  if (!added)
    puts ("no loopback");
  gst_object_unref (ice);
}

/* The promise holds what is returned. */
static gconstpointer
create (GstElement *webrtc, const char *what, const char *key, GstPromise **promise)
{
  *promise = gst_promise_new ();
  g_signal_emit_by_name (webrtc, what, NULL, *promise);
  gst_promise_wait (*promise);
  return g_value_get_boxed (gst_structure_get_value (gst_promise_get_reply (*promise), key));
}

static void
set (GstElement *webrtc, const char *what, gconstpointer description)
{
  GstPromise *promise = gst_promise_new ();
  g_signal_emit_by_name (webrtc, what, description, promise);
  gst_promise_wait (promise);
  gst_promise_unref (promise);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GstElement *near = gst_parse_launch ("webrtcbin name=caller audiotestsrc is-live=true samplesperbuffer=480 ! opusenc"
                                       " frame-size=10 ! rtpopuspay pt=96"
                                       " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=96 ! caller.",
      NULL);
  GstElement *far = gst_parse_launch ("bin.( webrtcbin name=callee )", NULL);
  GstElement *distant = gst_pipeline_new ("far");
  gst_bin_add (GST_BIN (distant), far);
  gst_object_set_name (GST_OBJECT (near), "near");
  GstElement *caller = gst_bin_get_by_name (GST_BIN (near), "caller");
  GstElement *callee = gst_bin_get_by_name (GST_BIN (far), "callee");
  keep_to_loopback (caller);
  keep_to_loopback (callee);
  g_signal_connect (callee, "pad-added", G_CALLBACK (add_sink), far);
  g_signal_connect (caller, "on-ice-candidate", G_CALLBACK (pass_candidate), callee);
  g_signal_connect (callee, "on-ice-candidate", G_CALLBACK (pass_candidate), caller);
  gst_element_set_state (near, GST_STATE_PLAYING);
  gst_element_set_state (distant, GST_STATE_PLAYING);
  GstPromise *offered, *answered;
  gconstpointer offer = create (caller, "create-offer", "offer", &offered);
  set (caller, "set-local-description", offer);
  set (callee, "set-remote-description", offer);
  gconstpointer answer = create (callee, "create-answer", "answer", &answered);
  set (callee, "set-local-description", answer);
  set (caller, "set-remote-description", answer);
  for (int i = 0; g_atomic_int_get (&heard) < HEARD && i < WAIT_MS / 10; i++)
    g_usleep (10000);
  puts (g_atomic_int_get (&heard) >= HEARD ? "heard" : "silent");
  gst_promise_unref (offered);
  gst_promise_unref (answered);
  gst_element_set_state (near, GST_STATE_NULL);
  gst_element_set_state (distant, GST_STATE_NULL);
  gst_object_unref (caller);
  gst_object_unref (callee);
  gst_object_unref (near);
  gst_object_unref (distant);
  return 0;
}
