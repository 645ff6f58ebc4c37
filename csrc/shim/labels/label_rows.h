/* SPDX-License-Identifier: MIT */
/* label_rows.h: labels are made, referred to, and end.
 *
 * A label is a row of g_segment->labels: never a pointer to an element, since elements die before their samples are
 * read and addresses are reused. An element has one label for its life. References keep a label's row: the element has
 * one, each thread that has an account for it, each child, and all work that waits to run under it. Without any, the
 * label has ended, and the agent gives the row back once it has read what was measured.
 *
 * Context: lifecycle, or the slow path of hooks.
 */
#ifndef GP_LABEL_ROWS_H
#define GP_LABEL_ROWS_H

#include "shim/base/thread_state.h"

/* Makes the fixed labels; once, before g_active. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_label_init (void);

/* A new label; the reference to it is the caller's. [too many labels], which lives for ever, once the table is full.
 * name: as shown. factory: from gp_strings_add(). parent: label of the bin that holds the element, or 0; gets a
 * reference. auto_named: GStreamer made the name. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_make (
    enum gp_label_kind kind, const char *name, uint32_t factory, uint32_t parent, bool auto_named);

/* One reference more; false: the label has ended already, and is not to be used. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_label_ref (uint32_t label);

/* One reference less. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_unref (uint32_t label);

/* The element is gone: its reference is given back, and threads give theirs back when they come round to it.
 * MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_gone (uint32_t label);

/* The element has another name now. The agent may read a torn one at that moment, and reads it again.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_label_rename (uint32_t label, const char *name, bool auto_named);

/* The element is in another bin now, or in one for the first time. 0 keeps the last one. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_set_parent (uint32_t label, uint32_t parent);

/* Writes "/pipeline0/bin0/x264enc0" into path, cut at the root's side where there is no room. Returns its length.
 * MT-Safe | AS-Safe */
GP_INTERNAL size_t gp_label_path (uint32_t label, char *path, size_t bytes);

/* The label of the topmost bin above, or the label itself. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_topmost (uint32_t label);

/* The one label of a kind that has no element. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_fixed (enum gp_label_kind kind);

/* The label of what an element does itself. A bin's state change is mostly that of its children and has a label of its
 * own; what the bin's threads, tasks and own pads do is an element's work: rtspsrc receives, webrtcbin has threads. Of
 * other labels: the label given. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_own_work (uint32_t label);

/* The bin is a plain one: what its threads do is its state change. Right behind gp_label_make(). MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_without_own_work (uint32_t label);

#endif
