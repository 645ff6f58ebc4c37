/* SPDX-License-Identifier: MIT */
/* label_rows.h: the life of a label: made, referred to, ended.
 *
 * A label is a row of g_segment->labels. It is never a pointer to an element: elements die before their samples are
 * read, and addresses are reused. An element has one label for its life. A row is kept by references: of the element,
 * of each thread that has an account for the label, of each child, and of all work that waits to run under it. The last
 * one to go ends the label, and the agent frees the row once it has read what was measured.
 *
 * Context: lifecycle, or the slow path of hooks.
 */
#ifndef GP_LABEL_ROWS_H
#define GP_LABEL_ROWS_H

#include "shim/base/thread_state.h"

/* Makes the fixed labels; once, before g_active. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_label_init (void);

/* A new label, with one reference, the caller's. Once the table is full: [too many labels], which lives for ever.
 * name: as shown. factory: from gp_strings_add(). parent: label of the bin that holds the element, or 0; gets a
 * reference. auto_named: GStreamer made the name. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_make (
    enum gp_label_kind kind, const char *name, uint32_t factory, uint32_t parent, bool auto_named);

/* Takes a reference; false: the label has ended already, and must not be used. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_label_ref (uint32_t label);

/* Drops a reference. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_unref (uint32_t label);

/* The element is finalized: its reference is dropped at once; threads drop theirs at their next sweep
 * (account_table.c). MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_gone (uint32_t label);

/* The element has another name now. The agent may read a torn name at that moment, and reads it again.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_label_rename (uint32_t label, const char *name, bool auto_named);

/* The element is in another bin now, or in one for the first time. 0 keeps the last one. MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_set_parent (uint32_t label, uint32_t parent);

/* Writes "/pipeline0/bin0/x264enc0" into path, cut at the root's side where there is no room. Returns its length.
 * MT-Safe | AS-Safe */
GP_INTERNAL size_t gp_label_path (uint32_t label, char *path, size_t bytes);

/* The label of the topmost bin above, or the label itself. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_topmost (uint32_t label);

/* The label of a kind that has no element and a single label. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_label_fixed (enum gp_label_kind kind);

/* The label of the work that an element does itself. A bin's own label is that of its state change, which is mostly its
 * children's. What the bin's threads, tasks and own pads do counts for another label, as an element: rtspsrc receives,
 * webrtcbin has threads. Made when first asked for. For other labels: the label given. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_label_own_work (uint32_t label);

/* The bin is a plain one: what its threads do counts for its state change. To be called right after gp_label_make().
 * MT-Safe | AS-Safe */
GP_INTERNAL void gp_label_without_own_work (uint32_t label);

#endif
