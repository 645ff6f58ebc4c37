/* SPDX-License-Identifier: MIT */
/* gst_api.h: GStreamer without linking against it.
 *
 * The preloaded object is loaded into every child process: a NEEDED libgstreamer would be loaded into each of them too.
 * Bindings that open libgstreamer locally (PyGObject) leave none of its symbols in the global scope. So its functions
 * are looked up by handle, once it is loaded. Types and macros come from its headers; calls are written GST
 * (gst_object_unref) (object).
 *
 * Context: the table is filled once, in lifecycle context; calls run in the caller's context.
 */
#ifndef GP_GST_API_H
#define GP_GST_API_H

#include <gst/gst.h>
#include <stdbool.h>
#include "shim/base/segment.h"

#define GP_PLUGIN_SOURCE "gst-pyro-shim" /* by which GStreamer's list of plugins that may be loaded knows ours */

#define GP_GST_FUNCTIONS(X)                                                                                            \
  X (g_free)                                                                                                           \
  X (g_main_context_invoke_full)                                                                                       \
  X (g_mutex_lock)                                                                                                     \
  X (g_mutex_trylock)                                                                                                  \
  X (g_mutex_unlock)                                                                                                   \
  X (g_object_get)                                                                                                     \
  X (g_object_get_qdata)                                                                                               \
  X (g_object_replace_qdata)                                                                                           \
  X (g_quark_from_static_string)                                                                                       \
  X (g_quark_try_string)                                                                                               \
  X (g_type_check_instance_is_a)                                                                                       \
  X (g_type_class_peek)                                                                                                \
  X (g_type_class_peek_parent)                                                                                         \
  X (g_type_class_ref)                                                                                                 \
  X (g_type_class_unref)                                                                                               \
  X (g_type_name)                                                                                                      \
  X (g_type_parent)                                                                                                    \
  X (g_type_query)                                                                                                     \
  X (g_type_register_static_simple)                                                                                    \
  X (g_value_get_string)                                                                                               \
  X (gst_bin_get_type)                                                                                                 \
  X (gst_debug_log)                                                                                                    \
  X (gst_element_get_factory)                                                                                          \
  X (gst_element_get_type)                                                                                             \
  X (gst_message_parse_stream_status)                                                                                  \
  X (gst_object_get_name)                                                                                              \
  X (gst_object_get_parent)                                                                                            \
  X (gst_object_ref)                                                                                                   \
  X (gst_object_unref)                                                                                                 \
  X (gst_pad_get_peer)                                                                                                 \
  X (gst_pad_get_type)                                                                                                 \
  X (gst_pipeline_get_type)                                                                                            \
  X (gst_plugin_get_filename)                                                                                          \
  X (gst_plugin_list_free)                                                                                             \
  X (gst_proxy_pad_get_type)                                                                                           \
  X (gst_registry_get)                                                                                                 \
  X (gst_registry_get_plugin_list)                                                                                     \
  X (gst_segtrap_is_enabled)                                                                                           \
  X (gst_structure_free)                                                                                               \
  X (gst_structure_from_string)                                                                                        \
  X (gst_structure_get_value)                                                                                          \
  X (gst_structure_n_fields)                                                                                           \
  X (gst_structure_nth_field_name)                                                                                     \
  X (gst_tracer_get_type)                                                                                              \
  X (gst_tracer_register)                                                                                              \
  X (gst_tracing_register_hook)                                                                                        \
  X (gst_value_serialize)

struct gp_gst
{
#define GP_DECLARE(name) __typeof__ (&name) name##_;
  GP_GST_FUNCTIONS (GP_DECLARE)
#undef GP_DECLARE
  GstDebugCategory *category;
  const gchar *(*nameof_funcptr) (GstDebugFuncPtr); /* NULL: a build without its debug log */
};

extern GP_INTERNAL struct gp_gst g_gst;

#define GST(name) (g_gst.name##_)

/* Fills the table from the host's GStreamer, which must be loaded. Returns the name of a function that is missing, or
 * NULL. MT-Unsafe | AS-Unsafe */
GP_INTERNAL const char *gp_gst_load (void);

/* Writes to GStreamer's debug log, category "pyroscope". The host's log functions run, under no lock of ours.
 * MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_gst_log (GstDebugLevel level, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

/* Ends that log, for GStreamer is being deinitialized. Waits for a line that is being written, but a tenth of a second
 * at most: a log function of the host's may be waiting for the caller. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_gst_close_log (void);

/* Writes one line to stderr, prefixed "gst-pyro: "; for what the user must know. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_say (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

#endif
