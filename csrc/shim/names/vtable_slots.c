/* SPDX-License-Identifier: MIT */
/* vtable_slots.c: the virtual methods in the class structs of GStreamer's base classes, by their offsets.
 *
 * Each class appends its slots to its parent's struct, in the order of its header, and GStreamer never moves one. So
 * the parent's size, queried at run time, and the order are enough. tests/native/test_class_slots.py compares the table
 * with the headers. A slot that is newer than the host's GStreamer is reserved space there, and empty.
 *
 * Context: poller.
 */
#include <string.h>
#include "shim/names/vtable_slots.h"

enum
{
  MAX_SLOTS = 28
};

struct class_slots
{
  const char *type;
  const char *slots[MAX_SLOTS]; /* one for each word; "": not a function; NULL behind the last */
};

static const struct class_slots g_classes[] = {
  { "GObject", { "", "constructor", "set_property", "get_property", "dispose", "finalize",
                   "dispatch_properties_changed", "notify", "constructed" } },
  { "GstAggregator",
      { "flush", "clip", "finish_buffer", "sink_event", "sink_query", "src_event", "src_query", "src_activate",
          "aggregate", "stop", "start", "get_next_time", "create_new_pad", "update_src_caps", "fixate_src_caps",
          "negotiated_src_caps", "decide_allocation", "propose_allocation", "negotiate", "sink_event_pre_queue",
          "sink_query_pre_queue", "finish_buffer_list", "peek_next_sample" } },
  { "GstAggregatorPad", { "flush", "skip_buffer" } },
  { "GstAudioAggregator", { "create_output_buffer", "aggregate_one_buffer" } },
  { "GstAudioAggregatorPad", { "convert_buffer", "update_conversion_info" } },
  { "GstAudioBaseSink", { "create_ringbuffer", "payload" } },
  { "GstAudioBaseSrc", { "create_ringbuffer" } },
  { "GstAudioDecoder", { "start", "stop", "set_format", "parse", "handle_frame", "flush", "pre_push", "sink_event",
                           "src_event", "open", "close", "negotiate", "decide_allocation", "propose_allocation",
                           "sink_query", "src_query", "getcaps", "transform_meta" } },
  { "GstAudioEncoder", { "start", "stop", "set_format", "handle_frame", "flush", "pre_push", "sink_event", "src_event",
                           "getcaps", "open", "close", "negotiate", "decide_allocation", "propose_allocation",
                           "transform_meta", "sink_query", "src_query" } },
  { "GstAudioFilter", { "setup" } },
  { "GstAudioSink", { "open", "prepare", "unprepare", "close", "write", "delay", "reset", "pause", "resume", "stop" } },
  { "GstAudioSrc", { "open", "prepare", "unprepare", "close", "read", "delay", "reset" } },
  { "GstAudioVisualizer", { "setup", "render", "decide_allocation" } },
  { "GstBaseParse", { "start", "stop", "set_sink_caps", "handle_frame", "pre_push_frame", "convert", "sink_event",
                        "src_event", "get_sink_caps", "detect", "sink_query", "src_query" } },
  { "GstBaseSink", { "get_caps", "set_caps", "fixate", "activate_pull", "get_times", "propose_allocation", "start",
                       "stop", "unlock", "unlock_stop", "query", "event", "wait_event", "prepare", "prepare_list",
                       "preroll", "render", "render_list" } },
  { "GstBaseSrc", { "get_caps", "negotiate", "fixate", "set_caps", "decide_allocation", "start", "stop", "get_times",
                      "get_size", "is_seekable", "prepare_seek_segment", "do_seek", "unlock", "unlock_stop", "query",
                      "event", "create", "alloc", "fill" } },
  { "GstBaseTransform",
      { "", "transform_caps", "fixate_caps", "accept_caps", "set_caps", "query", "decide_allocation", "filter_meta",
          "propose_allocation", "transform_size", "get_unit_size", "start", "stop", "sink_event", "src_event",
          "prepare_output_buffer", "copy_metadata", "transform_meta", "before_transform", "transform", "transform_ip",
          "submit_input_buffer", "generate_output" } },
  { "GstBin", { "", "element_added", "element_removed", "add_element", "remove_element", "handle_message", "do_latency",
                  "deep_element_added", "deep_element_removed" } },
  { "GstElement", { "", "", "", "", "pad_added", "pad_removed", "no_more_pads", "request_new_pad", "release_pad",
                      "get_state", "set_state", "change_state", "state_changed", "set_bus", "provide_clock",
                      "set_clock", "send_event", "query", "post_message", "set_context" } },
  { "GstObject", { "", "deep_notify" } },
  { "GstPad", { "linked", "unlinked" } },
  { "GstPushSrc", { "create", "alloc", "fill" } },
  { "GstRTPBaseDepayload", { "set_caps", "process", "packet_lost", "handle_event", "process_rtp_packet" } },
  { "GstRTPBasePayload", { "get_caps", "set_caps", "handle_buffer", "sink_event", "src_event", "query" } },
  { "GstTagDemux", { "", "identify_tag", "parse_tag", "merge_tags" } },
  { "GstTagMux", { "render_start_tag", "render_end_tag" } },
  { "GstVideoAggregator", { "update_caps", "aggregate_frames", "create_output_buffer", "find_best_format" } },
  { "GstVideoAggregatorConvertPad", { "create_conversion_info" } },
  { "GstVideoAggregatorPad",
      { "update_conversion_info", "prepare_frame", "clean_frame", "prepare_frame_start", "prepare_frame_finish" } },
  { "GstVideoDecoder", { "open", "close", "start", "stop", "parse", "set_format", "reset", "finish", "handle_frame",
                           "sink_event", "src_event", "negotiate", "decide_allocation", "propose_allocation", "flush",
                           "sink_query", "src_query", "getcaps", "drain", "transform_meta", "handle_missing_data" } },
  { "GstVideoEncoder", { "open", "close", "start", "stop", "set_format", "handle_frame", "reset", "finish", "pre_push",
                           "getcaps", "sink_event", "src_event", "negotiate", "decide_allocation", "propose_allocation",
                           "flush", "sink_query", "src_query", "transform_meta" } },
  { "GstVideoFilter", { "set_info", "transform_frame", "transform_frame_ip" } },
  { "GstVideoSink", { "show_frame", "set_info" } },
};

const char *
gp_names_slot (const char *type, size_t base, size_t offset)
{
  size_t index = (offset - base) / sizeof (void *);
  if (offset < base || index >= MAX_SLOTS)
    return NULL;
  for (size_t i = 0; i < sizeof g_classes / sizeof g_classes[0]; i++) {
    if (strcmp (g_classes[i].type, type) != 0)
      continue;
    for (size_t k = 0; k < index; k++)
      if (g_classes[i].slots[k] == NULL)
        return NULL;
    const char *slot = g_classes[i].slots[index];
    return slot != NULL && slot[0] != '\0' ? slot : NULL;
  }
  return NULL;
}
