/* SPDX-License-Identifier: MIT */
/* elements.c: names an element: itself, its factory, its path and its pipeline.
 *
 * Context: the slow path of hooks; takes GStreamer's object locks for a moment, and references.
 */
#include "elements.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "bins.h"
#include "label.h"
#include "links.h"
#include "names.h"

enum
{
  PATH_BYTES = 4096
};

_Atomic uint32_t g_shape = 1;

/* Prepends "/name" to the path that ends at path[PATH_BYTES - 1]; what no longer fits is left out at the root's side.
 */
static char *
prepend (char *path, char *start, const char *name)
{
  size_t bytes = strlen (name);
  if ((size_t) (start - path) < bytes + 1)
    return start;
  start -= bytes;
  memcpy (start, name, bytes);
  *--start = '/';
  return start;
}

/* path: PATH_BYTES to write in. */
static uint32_t
find_label (GstElement *element, const char *name, char *path)
{
  char *start = path + PATH_BYTES - 1;
  *start = '\0';
  start = prepend (path, start, name);
  gchar *topmost = NULL;
  /* Each parent is held while its own parent is asked for: bins may be taken apart meanwhile. */
  GstObject *parent = GST (gst_object_get_parent) (GST_OBJECT_CAST (element));
  while (parent != NULL) {
    gchar *parent_name = GST (gst_object_get_name) (parent);
    if (parent_name != NULL) {
      start = prepend (path, start, parent_name);
      GST (g_free) (topmost);
      topmost = parent_name;
    }
    GstObject *next = GST (gst_object_get_parent) (parent);
    GST (gst_object_unref) (parent);
    parent = next;
  }
  GstElementFactory *factory = GST (gst_element_get_factory) (element); /* the class's: not ours to unref */
  bool bin = GST (g_type_check_instance_is_a) ((GTypeInstance *) element, GST (gst_bin_get_type) ());
  const char *pipeline = topmost != NULL ? topmost : bin ? name : "";
  uint32_t label = gp_label_intern (bin ? GP_LABEL_STATE_CHANGE : GP_LABEL_ELEMENT, name, start,
      factory != NULL ? GST_OBJECT_NAME (factory) : "", pipeline);
  GST (g_free) (topmost);
  return label;
}

/* On the heap, which names come from as well: the stacks of the host's threads may be small, and this runs deep. */
uint32_t
gp_elements_label (GstElement *element)
{
  gchar *name = GST (gst_object_get_name) (GST_OBJECT_CAST (element));
  char *path = name != NULL ? malloc (PATH_BYTES) : NULL;
  uint32_t label = path != NULL ? find_label (element, name, path) : 0;
  free (path);
  GST (g_free) (name);
  return label;
}

static uint32_t
look_up (GstPad *pad, bool peer)
{
  GstPad *target = peer ? GST (gst_pad_get_peer) (pad) : GST (gst_object_ref) (pad);
  if (target == NULL)
    return 0;
  uint32_t label = 0;
  if (!GST (g_type_check_instance_is_a) ((GTypeInstance *) target, GST (gst_proxy_pad_get_type) ())) {
    GstObject *parent = GST (gst_object_get_parent) (GST_OBJECT_CAST (target));
    if (parent != NULL) {
      if (GST (g_type_check_instance_is_a) ((GTypeInstance *) parent, GST (gst_element_get_type) ()))
        label = gp_bins_own_work (gp_elements_label (GST_ELEMENT_CAST (parent)));
      GST (gst_object_unref) (parent);
    }
    gp_names_meet_pad (target);
  }
  GST (gst_object_unref) (target);
  return label;
}

/* Room for thousands of pads, of which a thread rarely meets more than a few dozen: not there until it is needed. NULL:
 * no memory is left. */
static struct gp_pad_set *
more_pads (struct gp_thread *thread)
{
  if (thread->more_pads == NULL) {
    size_t bytes = sizeof (struct gp_pad_set) << GP_MORE_PAD_SETS_LOG2;
    void *room = mmap (NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    thread->more_pads = room != MAP_FAILED ? room : NULL;
  }
  return thread->more_pads;
}

/* By this thread or another: nobody can tell. */
static bool
is_locked (GstPad *pad)
{
  if (!GST (g_mutex_trylock) (GST_OBJECT_GET_LOCK (pad)))
    return true;
  GST (g_mutex_unlock) (GST_OBJECT_GET_LOCK (pad));
  return false;
}

static void
remember (struct gp_pad_set *set, struct gp_pad_cache pad)
{
  memmove (&set->ways[1], &set->ways[0], sizeof set->ways - sizeof set->ways[0]);
  set->ways[0] = pad;
}

/* Whoever runs when data goes to another element, or is asked for, is linked to that; no lock has to be taken to know
 * it. */
static void
meet_link (const struct gp_thread *thread, uintptr_t sp, enum gp_pad_side side, uint32_t label)
{
  if (side == GP_PAD_OWN_CHAINED || side == GP_PAD_PEER_PUSHED)
    gp_links_add (gp_label_current (thread, sp + 1), label);
  else if (side == GP_PAD_PEER_PULLED)
    gp_links_add (label, gp_label_current (thread, sp + 1));
}

uint32_t
gp_elements_pad_missed (struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp, uint32_t shape)
{
  uintptr_t key = gp_elements_pad_key (pad, side);
  if (thread->more_pads != NULL) {
    const struct gp_pad_set *more = gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key);
    const struct gp_pad_cache *cached = gp_elements_pad_cached (more, key, shape);
    if (cached != NULL)
      return cached->label;
  }
  if ((side == GP_PAD_PEER_LOCKED || side == GP_PAD_OWN_LOCKED) && is_locked (pad))
    return 0;
  bool own = side == GP_PAD_OWN || side == GP_PAD_OWN_CHAINED || side == GP_PAD_OWN_LOCKED;
  uint32_t label = look_up (pad, !own);
  meet_link (thread, sp, side, label);
  struct gp_pad_set *set = gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key);
  /* First come, first kept: a chain that goes round in a full set would push out what it needs next. */
  if (set->ways[GP_PAD_WAYS - 1].generation == shape && more_pads (thread) != NULL)
    set = gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key);
  remember (set, (struct gp_pad_cache) { key, shape, label });
  return label;
}
