/* SPDX-License-Identifier: MIT */
/* label_rows.c: the life of a label: made, referred to, ended.
 *
 * Context: lifecycle and the slow path of hooks; references are dropped on any thread of the host.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <string.h>
#include "shim/labels/label_rows.h"
#include "shared/row_table.h"

enum
{
  MAX_DEPTH = 64 /* of bins in bins; a longer chain is damaged */
};

static uint32_t g_fixed[GP_LABEL_KINDS];

void
gp_label_init (void)
{
  static const struct
  {
    enum gp_label_kind kind;
    const char *name;
  } fixed[] = {
    { GP_LABEL_OVERFLOW, "[too many labels]" },
    { GP_LABEL_MAIN, "[main thread]" },
    { GP_LABEL_POOL, "[GLib pool]" },
    { GP_LABEL_TASK, "[GStreamer task]" },
    { GP_LABEL_THREAD, "[other threads]" },
    { GP_LABEL_AGENT, "[gst-pyro agent]" },
    { GP_LABEL_BEFORE, "[before the tracer]" },
    { GP_LABEL_UNSEEN, "[unseen threads]" },
    { GP_LABEL_LOADING, "[loading plugins]" },
  };
  gp_row_take (GP_LABEL_TABLE (g_segment), GP_LABEL_WORDS); /* 0 is no label */
  for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
    g_fixed[fixed[i].kind] = gp_label_make (fixed[i].kind, fixed[i].name, 0, 0, false);
}

uint32_t
gp_label_fixed (enum gp_label_kind kind)
{
  return g_fixed[kind];
}

/* Writes the name into the block that the row's last user has left, or into a larger one. */
static bool
set_name (struct gp_label *label, const char *name)
{
  size_t bytes = strlen (name) + 1;
  if (bytes > label->room) {
    uint32_t room, offset = gp_strings_take (bytes, &room);
    if (offset == 0)
      return false;
    gp_strings_release (label->name, label->room);
    label->name = offset;
    label->room = room;
  }
  memcpy (g_segment->strings + label->name, name, bytes);
  return true;
}

uint32_t
gp_label_make (enum gp_label_kind kind, const char *name, uint32_t factory, uint32_t parent, bool auto_named)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uint32_t row = gp_row_take (GP_LABEL_TABLE (g_segment), GP_LABEL_WORDS);
  struct gp_label *label = row != GP_NO_ROW ? &g_segment->labels[row] : NULL;
  if (label == NULL || !set_name (label, name)) {
    if (label != NULL)
      gp_row_free (GP_LABEL_TABLE (g_segment), row);
    gp_count (GP_COUNTER_LABELS_FULL);
    return g_fixed[GP_LABEL_OVERFLOW];
  }
  label->serial++;
  label->kind = kind;
  label->factory = factory;
  gp_store (&label->parent, parent != 0 && gp_label_ref (parent) ? parent : 0);
  label->auto_named = auto_named;
  label->is_own_work = 0;
  gp_store (&label->own_work, 0);
  gp_store (&label->refs, 1);
  gp_store (&label->gone, 0);
  gp_store (&label->overflow_ns, 0);
  gp_store_release (&label->state, GP_SLOT_LIVE); /* publishes the label; pairs with the agent's acquire */
  return row;
}

bool
gp_label_ref (uint32_t label)
{
  uint32_t *refs = &g_segment->labels[label].refs, seen = gp_load (refs);
  while (seen != 0)
    if (__atomic_compare_exchange_n (refs, &seen, seen + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return true;
  return false;
}

void
gp_label_unref (uint32_t label)
{
  /* The end of a label drops its reference to its parent. */
  while (label != 0) {
    struct gp_label *row = &g_segment->labels[label];
    if (__atomic_fetch_sub (&row->refs, 1, __ATOMIC_ACQ_REL) != 1)
      return;
    uint32_t parent = gp_load (&row->parent);      /* read before the row can be another label's */
    gp_store_release (&row->state, GP_SLOT_ENDED); /* pairs with the agent's acquire */
    label = parent;
  }
}

void
gp_label_without_own_work (uint32_t label)
{
  gp_store (&g_segment->labels[label].own_work, label);
}

static void
drop_own_work (uint32_t label)
{
  uint32_t own = __atomic_exchange_n (&g_segment->labels[label].own_work, 0, __ATOMIC_SEQ_CST);
  if (own != 0 && own != label)
    gp_label_gone (own);
}

void
gp_label_gone (uint32_t label)
{
  struct gp_label *row = &g_segment->labels[label];
  __atomic_store_n (&row->gone, 1, __ATOMIC_SEQ_CST);
  drop_own_work (label);
  gp_label_unref (label);
}

uint32_t
gp_label_own_work (uint32_t label)
{
  struct gp_label *row = &g_segment->labels[label];
  uint32_t own = gp_load (&row->own_work), none = 0;
  if (row->kind != GP_LABEL_STATE_CHANGE || own != 0 || gp_load (&row->gone) != 0)
    return own != 0 ? own : label;
  own = gp_label_make (GP_LABEL_ELEMENT, g_segment->strings + row->name, row->factory, label, row->auto_named);
  if (own == g_fixed[GP_LABEL_OVERFLOW])
    return own;
  g_segment->labels[own].is_own_work = 1;
  if (!__atomic_compare_exchange_n (&row->own_work, &none, own, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    gp_label_gone (own);
    return none;
  }
  if (__atomic_load_n (&row->gone, __ATOMIC_SEQ_CST) != 0) /* meanwhile */
    drop_own_work (label);
  return own;
}

void
gp_label_rename (uint32_t label, const char *name, bool auto_named)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  struct gp_label *row = &g_segment->labels[label];
  pthread_mutex_lock (&lock);
  if (set_name (row, name)) {
    row->auto_named = auto_named;
    __atomic_fetch_add (&g_segment->labels_moved, 1, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock (&lock);
}

void
gp_label_set_parent (uint32_t label, uint32_t parent)
{
  struct gp_label *row = &g_segment->labels[label];
  if (parent == 0 || gp_load (&row->parent) == parent || !gp_label_ref (parent))
    return;
  /* A bin that was last in this one may hold it now. Cut the circle: its labels would never end. */
  for (uint32_t above = parent, depth = 0; above != 0 && depth < MAX_DEPTH; depth++) {
    uint32_t *next = &g_segment->labels[above].parent;
    above = gp_load (next);
    if (above == label)
      gp_label_unref (__atomic_exchange_n (next, 0, __ATOMIC_RELAXED));
  }
  gp_label_unref (__atomic_exchange_n (&row->parent, parent, __ATOMIC_RELAXED));
  __atomic_fetch_add (&g_segment->labels_moved, 1, __ATOMIC_RELEASE);
}

size_t
gp_label_path (uint32_t label, char *path, size_t bytes)
{
  char *at = path + bytes - 1, *end = at;
  *at = '\0';
  if (g_segment->labels[label].is_own_work != 0)
    label = gp_load (&g_segment->labels[label].parent);
  for (int depth = 0; label != 0 && depth < MAX_DEPTH; depth++) {
    const struct gp_label *row = &g_segment->labels[label];
    const char *name = g_segment->strings + row->name;
    size_t length = strlen (name);
    if ((size_t) (at - path) < length + 1)
      break;
    at -= length;
    memcpy (at, name, length);
    *--at = '/';
    label = gp_load (&row->parent);
  }
  memmove (path, at, (size_t) (end - at) + 1);
  return (size_t) (end - at);
}

uint32_t
gp_label_topmost (uint32_t label)
{
  for (int depth = 0; depth < MAX_DEPTH; depth++) {
    uint32_t parent = gp_load (&g_segment->labels[label].parent);
    if (parent == 0)
      break;
    label = parent;
  }
  return label;
}
