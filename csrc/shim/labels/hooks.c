/* SPDX-License-Identifier: MIT */
/* hooks.c: GStreamer's tracer hooks, and gst_pad_send_event(), which has none, push and pop labels.
 *
 * Context: hook. On the steady path no lock, no allocation, no reference, no log. Every hook reads g_active first: a
 * tracer cannot be unregistered, and a forked child keeps its hooks. GP_CALLER must be expanded in the hook itself.
 */
#include "shim/labels/hooks.h"

#include "shim/labels/construction.h"
#include "shim/labels/elements.h"
#include "shim/labels/label.h"
#include "shim/names/names.h"
#include "shim/labels/probes.h"

__typeof__ (&gst_pad_send_event) g_hooks_real_send_event;

static inline struct gp_thread *
active_thread (void)
{
  return atomic_load_explicit (&g_active, memory_order_relaxed) ? gp_thread_current () : NULL;
}

/* The element of a GStreamer task that posts no stream-status is known by the task's first push. */
static void
adopt_task (struct gp_thread *thread, GstPad *pad, enum gp_pad_side side)
{
  uint32_t label = gp_elements_pad_label (thread, pad, side, 0);
  if (label == 0)
    return;
  thread->task = false;
  gp_label_set_base (thread, label);
}

/* One body for all hooks that enter the element of a pad; a macro, since GP_CALLER names the hook's own caller. */
#define ENTER(thread_, label_)                                                                                         \
  do {                                                                                                                 \
    uint32_t label = (label_);                                                                                         \
    if (label != 0)                                                                                                    \
      gp_label_push (thread_, GP_CALLER (label));                                                                      \
  } while (0)

static void
do_leave (GObject *tracer, GstClockTime time, gpointer subject)
{
  (void) tracer, (void) time, (void) subject;
  struct gp_thread *thread = active_thread ();
  if (thread != NULL)
    gp_label_pop (thread, GP_CALLER_SP ());
}

/* pad-chain-pre, pad-chain-list-pre (GStreamer >= 1.22): data arrives at a sink pad. */
static void
do_chain_pre (GObject *tracer, GstClockTime time, GstPad *pad, gpointer data)
{
  (void) tracer, (void) time, (void) data;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  if (__builtin_expect (thread->task, 0) && thread->depth == 0)
    adopt_task (thread, pad, GP_PAD_PEER);
  ENTER (thread, gp_elements_pad_label (thread, pad, GP_PAD_OWN_CHAINED, GP_CALLER_SP ()));
}

/* pad-push-pre, pad-push-list-pre (GStreamer < 1.22): data leaves a source pad. */
static void
do_push_pre (GObject *tracer, GstClockTime time, GstPad *pad, gpointer data)
{
  (void) tracer, (void) time, (void) data;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  if (__builtin_expect (thread->task, 0) && thread->depth == 0)
    adopt_task (thread, pad, GP_PAD_OWN);
  ENTER (thread, gp_elements_pad_label (thread, pad, GP_PAD_PEER_PUSHED, GP_CALLER_SP ()));
}

/* pad-pull-range-pre: a sink pad asks its peer for data. */
static void
do_pull_range_pre (GObject *tracer, GstClockTime time, GstPad *pad, guint64 offset, guint size)
{
  (void) tracer, (void) time, (void) offset, (void) size;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  if (__builtin_expect (thread->task, 0) && thread->depth == 0)
    adopt_task (thread, pad, GP_PAD_OWN);
  if (__builtin_expect (pad->num_probes > 0, 0)) /* the probes run before the peer or after it: see probes.c */
    gp_elements_pad_label (thread, pad, GP_PAD_OWN_LOCKED, 0);
  ENTER (thread, gp_elements_pad_label (thread, pad, GP_PAD_PEER_PULLED, GP_CALLER_SP ()));
}

/* pad-push-event-pre: an event leaves a pad, upstream or downstream. Hazard: GStreamer >= 1.26 holds the pad's object
 * lock here when it pushes sticky events again. */
static void
do_push_event_pre (GObject *tracer, GstClockTime time, GstPad *pad, GstEvent *event)
{
  (void) tracer, (void) time, (void) event;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  gp_probes_expect (thread, pad, GP_CALLER_SP ());
  struct gp_boundary boundary = GP_CALLER (gp_elements_pad_label (thread, pad, GP_PAD_PEER_LOCKED, 0));
  if (boundary.label != 0) {
    gp_label_push (thread, boundary);
  } else if (GST_PAD_IS_SRC (pad) && GST_PAD_PEER (pad) == NULL) {
    thread->unlinked_pad = pad;
    thread->unlinked_push = boundary;
  }
}

static void
do_push_event_post (GObject *tracer, GstClockTime time, GstPad *pad, gboolean taken)
{
  (void) tracer, (void) time, (void) pad, (void) taken;
  uintptr_t sp = GP_CALLER_SP ();
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  if (thread->unlinked_push.sp <= sp)
    thread->unlinked_pad = NULL;
  gp_probes_over (thread, pad);
  gp_label_pop (thread, sp);
}

/* pad-link-post: a probe may link the very pad that an event is being pushed over, as decodebin3 does with its
 * decoders. The same push then hands all events that the pad has kept to the new peer. The peer is not entered where
 * something else was entered since: entries have the order of the stack. */
static void
do_link_post (GObject *tracer, GstClockTime time, GstPad *source, GstPad *sink, GstPadLinkReturn result)
{
  (void) tracer, (void) time;
  gp_elements_changed (source);
  gp_elements_changed (sink);
  struct gp_thread *thread = active_thread ();
  if (thread == NULL || thread->unlinked_pad != source || result != GST_PAD_LINK_OK)
    return;
  struct gp_boundary boundary = thread->unlinked_push;
  if (boundary.sp <= GP_CALLER_SP () || (thread->depth > 0 && thread->entries[thread->depth - 1].sp <= boundary.sp))
    return;
  boundary.label = gp_elements_pad_label (thread, sink, GP_PAD_OWN, 0);
  if (boundary.label != 0)
    gp_label_push (thread, boundary);
}

/* gst_pad_send_event has no hook: its import slots are redirected. decodebin hands a decoder its caps by this call, and
 * the decoder then opens its codec and makes threads. GStreamer complains itself about what is no pad. */
gboolean
gp_hooks_send_event (GstPad *pad, GstEvent *event)
{
  struct gp_thread *thread = active_thread ();
  if (thread == NULL || !GST (g_type_check_instance_is_a) ((GTypeInstance *) pad, GST (gst_pad_get_type) ()))
    return g_hooks_real_send_event (pad, event);
  ENTER (thread, gp_elements_pad_label (thread, pad, GP_PAD_OWN, 0));
  gboolean taken = g_hooks_real_send_event (pad, event);
  thread = active_thread (); /* NULL in the child of a fork */
  if (thread != NULL)
    gp_label_pop (thread, GP_CALLER_SP ());
  return taken;
}

/* pad-query-pre: the pad answers. */
static void
do_query_pre (GObject *tracer, GstClockTime time, GstPad *pad, GstQuery *query)
{
  (void) tracer, (void) time, (void) query;
  struct gp_thread *thread = active_thread ();
  if (thread != NULL)
    ENTER (thread, gp_elements_pad_label (thread, pad, GP_PAD_OWN, 0));
}

/* element-change-state-pre. Nothing is cached: by the next time the address may be another element's. */
static void
do_change_state_pre (GObject *tracer, GstClockTime time, GstElement *element, GstStateChange change)
{
  (void) tracer, (void) time, (void) change;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  gp_names_collect_element (element);
  uint32_t own = gp_elements_label_now (element);
  if (atomic_load_explicit (&g_constructions_unnamed, memory_order_relaxed) > 0) /* a hint */
    gp_construction_names (element, gp_label_own_work (own));
  ENTER (thread, own);
}

/* element-post-message-pre: a task's thread announces the element that it works for, and when it no longer does. */
static void
do_post_message_pre (GObject *tracer, GstClockTime time, GstElement *element, GstMessage *message)
{
  (void) tracer, (void) time, (void) element;
  if (GST_MESSAGE_TYPE (message) != GST_MESSAGE_STREAM_STATUS)
    return;
  struct gp_thread *thread = active_thread ();
  if (thread == NULL)
    return;
  GstStreamStatusType type;
  GstElement *owner = NULL;
  GST (gst_message_parse_stream_status) (message, &type, &owner);
  if (type == GST_STREAM_STATUS_TYPE_ENTER && owner != NULL) {
    thread->task = false;
    gp_label_set_base (thread, gp_label_own_work (gp_elements_label (owner)));
  } else if (type == GST_STREAM_STATUS_TYPE_LEAVE) {
    gp_label_set_base (thread, gp_label_fixed (GP_LABEL_TASK));
  }
}

static void
do_unlink_post (GObject *tracer, GstClockTime time, GstPad *source, GstPad *sink, gboolean done)
{
  (void) tracer, (void) time, (void) done;
  gp_elements_changed (source);
  gp_elements_changed (sink);
}

/* element-add-pad, element-remove-pad: from now on another pad may be at this address. */
static void
do_pad_changed (GObject *tracer, GstClockTime time, GstElement *element, GstPad *pad)
{
  (void) tracer, (void) time, (void) element;
  gp_elements_changed (pad);
}

/* bin-add-post: not every element that moves has a state change afterwards. */
static void
do_bin_add_post (GObject *tracer, GstClockTime time, GstBin *bin, GstElement *element, gboolean done)
{
  (void) tracer, (void) time, (void) bin;
  if (done && active_thread () != NULL)
    gp_elements_moved (element);
}

static void
do_nothing (void)
{
}

/* GStreamer looks each hook point up in a GHashTable of the registered ones, a dozen times in a push. With our hooks
 * the table has 32 places, two thirds of them full, and most lookups collide. Registering empty hooks at points that
 * are rarely reached makes it one of 64 places, in which the keys, consecutive quarks, do not collide: 460 of 3,650
 * instructions a push less. */
static void
widen_table (GstTracer *tracer)
{
  static const char *const rare[] = { "bin-add-pre", "bin-remove-pre", "element-new", "element-post-message-post",
    "element-query-post", "element-query-pre", "object-created", "object-destroyed", "pad-link-pre",
    "pad-push-list-post", "pad-push-list-pre", "pad-unlink-pre", "plugin-feature-loaded" };
  for (size_t i = 0; i < G_N_ELEMENTS (rare); i++)
    if (GST (g_quark_try_string) (rare[i]) != 0)
      GST (gst_tracing_register_hook) (tracer, rare[i], G_CALLBACK (do_nothing));
}

void
gp_hooks_register (GstTracer *tracer)
{
  gp_elements_init ();
  static const struct
  {
    const char *name;
    GCallback hook;
  } hooks[] = {
    { "pad-pull-range-pre", G_CALLBACK (do_pull_range_pre) },
    { "pad-pull-range-post", G_CALLBACK (do_leave) },
    { "pad-push-event-pre", G_CALLBACK (do_push_event_pre) },
    { "pad-push-event-post", G_CALLBACK (do_push_event_post) },
    { "pad-query-pre", G_CALLBACK (do_query_pre) },
    { "pad-query-post", G_CALLBACK (do_leave) },
    { "element-change-state-pre", G_CALLBACK (do_change_state_pre) },
    { "element-change-state-post", G_CALLBACK (do_leave) },
    { "element-post-message-pre", G_CALLBACK (do_post_message_pre) },
    { "element-add-pad", G_CALLBACK (do_pad_changed) },
    { "element-remove-pad", G_CALLBACK (do_pad_changed) },
    { "pad-link-post", G_CALLBACK (do_link_post) },
    { "pad-unlink-post", G_CALLBACK (do_unlink_post) },
    { "bin-add-post", G_CALLBACK (do_bin_add_post) },
  };
  static const char *const data_hooks[2][4] = {
    { "pad-push-pre", "pad-push-list-pre", "pad-push-post", "pad-push-list-post" },
    { "pad-chain-pre", "pad-chain-list-pre", "pad-chain-post", "pad-chain-list-post" },
  };
  for (size_t i = 0; i < G_N_ELEMENTS (hooks); i++)
    GST (gst_tracing_register_hook) (tracer, hooks[i].name, hooks[i].hook);
  /* An unknown name would be registered for every hook there is: look for its quark first. */
  bool chain = GST (g_quark_try_string) ("pad-chain-list-pre") != 0;
  for (int i = 0; i < 4; i++)
    GST (gst_tracing_register_hook) (tracer, data_hooks[chain][i],
        i >= 2  ? G_CALLBACK (do_leave)
        : chain ? G_CALLBACK (do_chain_pre)
                : G_CALLBACK (do_push_pre));
  if (chain) /* else pad-push-list-* are taken already, and the other rare hooks are too few */
    widen_table (tracer);
}
