/* SPDX-License-Identifier: MIT */
/* probes.c: pad probes of every kind, each of which burns BURN_MS of CPU once, in a pipeline of its own.
 *
 * For each prints "PIPELINE OWNER NANOSECONDS": the element that the probed pad belongs to, and what was burned. A
 * ghost pad has no element of its own: its owner is who pushes over it.
 *
 * Context: tests.
 */
#include <gst/gst.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum
{
  BURN_MS = 80
};

typedef struct
{
  const char *name;
  const char *owner, *pad; /* where the probe is; "ghost": on the pad of the bin around before */
  GstPadProbeType mask;
  GstPadProbeType idle; /* not 0: only the push that this mask sees puts the probe there, while the pad is busy */
} Case;

#define EVENT_UP GST_PAD_PROBE_TYPE_EVENT_UPSTREAM
#define EVENT_DOWN GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM
#define QUERY_UP (GST_PAD_PROBE_TYPE_QUERY_UPSTREAM | GST_PAD_PROBE_TYPE_PUSH)
#define QUERY_DOWN (GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM | GST_PAD_PROBE_TYPE_PUSH)
#define PULLED (GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_PULL)

static const Case cases[] = {
  { "buffer-src", "before", "src", GST_PAD_PROBE_TYPE_BUFFER, 0 },
  { "buffer-sink", "after", "sink", GST_PAD_PROBE_TYPE_BUFFER, 0 },
  { "buffer-src-blocking", "before", "src", GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BLOCK, 0 },
  { "buffer-sink-blocking", "after", "sink", GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BLOCK, 0 },
  { "event-down-src", "before", "src", EVENT_DOWN, 0 },
  { "event-down-sink", "after", "sink", EVENT_DOWN, 0 },
  { "event-down-src-blocking", "before", "src", EVENT_DOWN | GST_PAD_PROBE_TYPE_BLOCK, 0 },
  { "event-down-sink-blocking", "after", "sink", EVENT_DOWN | GST_PAD_PROBE_TYPE_BLOCK, 0 },
  { "event-up-src", "before", "src", EVENT_UP, 0 },
  { "event-up-sink", "after", "sink", EVENT_UP, 0 },
  { "buffer-ghost", "inner/before", "ghost", GST_PAD_PROBE_TYPE_BUFFER, 0 },
  { "event-down-ghost", "inner/before", "ghost", EVENT_DOWN, 0 },
  { "event-up-ghost", "after", "ghost", EVENT_UP, 0 },
  { "query-up-ghost", "after", "ghost", QUERY_UP, 0 },
  { "flush-src", "before", "src", GST_PAD_PROBE_TYPE_EVENT_FLUSH, 0 },
  { "flush-sink", "after", "sink", GST_PAD_PROBE_TYPE_EVENT_FLUSH, 0 },
  { "query-down-src", "before", "src", QUERY_DOWN, 0 },
  { "query-down-sink", "after", "sink", QUERY_DOWN, 0 },
  { "query-up-src", "before", "src", QUERY_UP, 0 },
  { "query-up-sink", "after", "sink", QUERY_UP, 0 },
  { "pull-src", "before", "src", PULLED, 0 },
  { "pull-sink", "after", "sink", PULLED, 0 },
  { "idle-after-buffer", "before", "src", GST_PAD_PROBE_TYPE_IDLE, GST_PAD_PROBE_TYPE_BUFFER },
  { "idle-after-event", "before", "src", GST_PAD_PROBE_TYPE_IDLE, EVENT_DOWN },
};

static gint burned; /* atomic; the case's probe was there */

static gint64
thread_ns (void)
{
  struct timespec now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * (gint64) 1000000000 + now.tv_nsec;
}

static GstPadProbeReturn
burn_once (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  (void) pad, (void) info;
  const Case *probe = data;
  gboolean blocks = (probe->mask & (GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_IDLE)) != 0;
  if (g_atomic_int_compare_and_exchange (&burned, 0, 1)) {
    gint64 start = thread_ns (), end = start + BURN_MS * G_GINT64_CONSTANT (1000000);
    while (thread_ns () < end)
      for (volatile int i = 0; i < 20000; i++)
        continue;
    printf ("%s %s %" G_GINT64_FORMAT "\n", probe->name, probe->owner, thread_ns () - start);
  }
  return blocks ? GST_PAD_PROBE_REMOVE : GST_PAD_PROBE_OK;
}

static gboolean
is_ghost (const Case *probe)
{
  return strcmp (probe->pad, "ghost") == 0;
}

static void
add_probe (GstElement *pipeline, const Case *probe)
{
  GstElement *owner = gst_bin_get_by_name (GST_BIN (pipeline), is_ghost (probe) ? "after" : probe->owner);
  GstPad *pad = gst_element_get_static_pad (owner, is_ghost (probe) ? "sink" : probe->pad);
  if (is_ghost (probe)) {
    GstPad *sink = pad;
    pad = gst_pad_get_peer (sink);
    gst_object_unref (sink);
  }
  gst_pad_add_probe (pad, probe->mask, burn_once, (gpointer) probe, NULL);
  gst_object_unref (pad);
  gst_object_unref (owner);
}

/* Runs within the push over before's source pad. */
static GstPadProbeReturn
add_idle_probe (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  (void) info;
  GstObject *element = gst_object_get_parent (GST_OBJECT (pad));
  GstObject *pipeline = gst_object_get_parent (element);
  add_probe (GST_ELEMENT (pipeline), data);
  gst_object_unref (pipeline);
  gst_object_unref (element);
  return GST_PAD_PROBE_REMOVE;
}

static void
run_case (const Case *probe)
{
  const char *line = (probe->mask & GST_PAD_PROBE_TYPE_PULL) != 0
                         ? "fakesrc num-buffers=5 name=before can-activate-pull=true sizetype=2 filltype=1"
                           " ! fakesink name=after can-activate-pull=true"
                     : is_ghost (probe)
                         ? "videotestsrc num-buffers=5 ! video/x-raw,width=32,height=32 ! bin.( name=inner identity"
                           " name=before ) ! identity name=after ! fakesink name=end"
                         : "videotestsrc num-buffers=5 ! video/x-raw,width=32,height=32 ! identity name=before"
                           " ! identity name=after ! fakesink name=end";
  g_atomic_int_set (&burned, 0);
  GstElement *pipeline = gst_parse_launch (line, NULL);
  gst_object_set_name (GST_OBJECT (pipeline), probe->name);
  GstElement *end = gst_bin_get_by_name (GST_BIN (pipeline), "end");
  if (probe->idle != 0) {
    GstElement *after = gst_bin_get_by_name (GST_BIN (pipeline), "after");
    GstPad *pad = gst_element_get_static_pad (after, "sink");
    gst_pad_add_probe (pad, probe->idle, add_idle_probe, (gpointer) probe, NULL);
    gst_object_unref (pad);
    gst_object_unref (after);
  } else {
    add_probe (pipeline, probe);
  }
  gst_element_set_state (pipeline, end != NULL ? GST_STATE_PAUSED : GST_STATE_PLAYING);
  if (end != NULL) {
    gst_element_get_state (pipeline, NULL, NULL, GST_CLOCK_TIME_NONE);
    gint64 duration;
    gst_element_query_duration (end, GST_FORMAT_TIME, &duration);
    gst_element_send_event (end, gst_event_new_custom (GST_EVENT_CUSTOM_UPSTREAM, gst_structure_new_empty ("up")));
    gst_element_seek_simple (end, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0);
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    gst_object_unref (end);
  }
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered (
      bus, 20 * GST_SECOND, (GstMessageType) ((int) GST_MESSAGE_EOS | (int) GST_MESSAGE_ERROR));
  if (message == NULL || GST_MESSAGE_TYPE (message) != GST_MESSAGE_EOS)
    printf ("%s: no end of stream\n", probe->name);
  if (message != NULL)
    gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  for (size_t i = 0; i < G_N_ELEMENTS (cases); i++)
    run_case (&cases[i]);
  return 0;
}
