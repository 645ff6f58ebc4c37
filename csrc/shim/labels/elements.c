/* SPDX-License-Identifier: MIT */
/* elements.c: the labels of elements, and which element a pad belongs to.
 *
 * Context: the slow path of hooks; takes GStreamer's object locks for a moment, and references.
 */
#include "shim/labels/elements.h"

#include <ctype.h>
#include <string.h>
#include <sys/mman.h>
#include "shim/labels/label_rows.h"
#include "shim/labels/pad_links.h"
#include "shim/names/names.h"

uint32_t g_pad_generations[1 << GP_PAD_GENERATIONS_LOG2];

static GQuark g_label_key;

void
gp_elements_init (void)
{
  g_label_key = GST (g_quark_from_static_string) ("gst-pyro-label");
}

/* The element is being finalized. */
static void
on_element_gone (gpointer label)
{
  if (atomic_load (&g_active)) /* not in the child of a fork, which would write to its parent's labels */
    gp_label_gone (GPOINTER_TO_UINT (label));
}

/* The factory's name, as an offset in the segment's strings; found once and kept with the factory. */
static uint32_t
factory_text (GstElement *element)
{
  GstElementFactory *factory = GST (gst_element_get_factory) (element); /* the class's: not ours to unref */
  if (factory == NULL)
    return 0;
  uint32_t text = GPOINTER_TO_UINT (GST (g_object_get_qdata) ((GObject *) factory, g_label_key));
  if (text == 0) {
    text = gp_strings_add (GST_OBJECT_NAME (factory));
    GST (g_object_replace_qdata) ((GObject *) factory, g_label_key, NULL, GUINT_TO_POINTER (text), NULL, NULL);
  }
  return text;
}

/* Whether gst_object_set_name (object, NULL) made the name: the type's, without "Gst", in lower case; a dash where that
 * ends in a digit; a number. */
static bool
is_auto_named (GstObject *object, const char *name)
{
  const char *type = GST (g_type_name) (G_TYPE_FROM_INSTANCE (object));
  if (type == NULL)
    return false;
  if (strncmp (type, "Gst", 3) == 0)
    type += 3;
  char last = '\0';
  for (; *type != '\0'; type++, name++) {
    last = *type;
    if (*name != (last >= 'A' && last <= 'Z' ? last - 'A' + 'a' : last))
      return false;
  }
  if (isdigit ((unsigned char) last) && *name++ != '-')
    return false;
  size_t digits = strspn (name, "0123456789");
  return digits > 0 && name[digits] == '\0';
}

/* The label of the bin that holds the element; 0: none. */
static uint32_t
parent_label (GstElement *element)
{
  GstObject *parent = GST (gst_object_get_parent) (GST_OBJECT_CAST (element));
  if (parent == NULL)
    return 0;
  uint32_t label = 0;
  if (GST (g_type_check_instance_is_a) ((GTypeInstance *) parent, GST (gst_element_get_type) ()))
    label = gp_elements_label (GST_ELEMENT_CAST (parent));
  GST (gst_object_unref) (parent);
  return label;
}

/* Makes the element's label, and keeps it with the element until that is finalized. Where two threads do so at once,
 * the second one's label is dropped. */
static uint32_t
make_label (GstElement *element, uint32_t parent)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  gchar *name = GST (gst_object_get_name) (GST_OBJECT_CAST (element));
  if (name == NULL)
    return 0;
  bool bin = GST (g_type_check_instance_is_a) ((GTypeInstance *) element, GST (gst_bin_get_type) ());
  uint32_t label = gp_label_make (bin ? GP_LABEL_STATE_CHANGE : GP_LABEL_ELEMENT, name, factory_text (element), parent,
      is_auto_named (GST_OBJECT_CAST (element), name));
  GST (g_free) (name);
  if (label == gp_label_fixed (GP_LABEL_OVERFLOW))
    return label;
  GType type = G_TYPE_FROM_INSTANCE (element);
  if (type == GST (gst_pipeline_get_type) () || type == GST (gst_bin_get_type) ())
    gp_label_without_own_work (label);
  if (GST (g_object_replace_qdata) (
          (GObject *) element, g_label_key, NULL, GUINT_TO_POINTER (label), on_element_gone, NULL))
    return label;
  gp_label_gone (label);
  return GPOINTER_TO_UINT (GST (g_object_get_qdata) ((GObject *) element, g_label_key));
}

/* Renames the label where the element was given another name while it was in no bin. */
static void
follow_name (GstElement *element, uint32_t label)
{
  GST (g_mutex_lock) (GST_OBJECT_GET_LOCK (element));
  const char *name = GST_OBJECT_NAME (element);
  if (name != NULL && strcmp (name, g_segment->strings + g_segment->labels[label].name) != 0)
    gp_label_rename (label, name, is_auto_named (GST_OBJECT_CAST (element), name));
  GST (g_mutex_unlock) (GST_OBJECT_GET_LOCK (element));
}

uint32_t
gp_elements_label (GstElement *element)
{
  uint32_t label = GPOINTER_TO_UINT (GST (g_object_get_qdata) ((GObject *) element, g_label_key));
  return label != 0 ? label : make_label (element, parent_label (element));
}

void
gp_elements_moved (GstElement *element)
{
  uint32_t label = GPOINTER_TO_UINT (GST (g_object_get_qdata) ((GObject *) element, g_label_key));
  if (label == 0)
    return;
  follow_name (element, label);
  gp_label_set_parent (label, parent_label (element));
}

uint32_t
gp_elements_label_now (GstElement *element)
{
  gp_elements_moved (element);
  return gp_elements_label (element);
}

static uint32_t
find_pad_label (GstPad *pad, bool peer)
{
  GstPad *target = peer ? GST (gst_pad_get_peer) (pad) : GST (gst_object_ref) (pad);
  if (target == NULL)
    return 0;
  uint32_t label = 0;
  if (!GST (g_type_check_instance_is_a) ((GTypeInstance *) target, GST (gst_proxy_pad_get_type) ())) {
    GstObject *parent = GST (gst_object_get_parent) (GST_OBJECT_CAST (target));
    if (parent != NULL) {
      if (GST (g_type_check_instance_is_a) ((GTypeInstance *) parent, GST (gst_element_get_type) ()))
        label = gp_label_own_work (gp_elements_label (GST_ELEMENT_CAST (parent)));
      GST (gst_object_unref) (parent);
    }
    gp_names_collect_pad (target);
  }
  GST (gst_object_unref) (target);
  return label;
}

/* The second cache, for thousands of pads. It is mapped when it is first needed: a thread rarely has more than a few
 * dozen pads. NULL: no memory is left. */
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

/* Whether the pad's object lock is held: by this thread or another, which cannot be known. */
static bool
is_locked (GstPad *pad)
{
  if (!GST (g_mutex_trylock) (GST_OBJECT_GET_LOCK (pad)))
    return true;
  GST (g_mutex_unlock) (GST_OBJECT_GET_LOCK (pad));
  return false;
}

/* Replaces an entry that is void, else the oldest. */
static void
cache_pad (struct gp_pad_set *set, struct gp_pad_cache pad)
{
  int at = 0;
  while (at < GP_PAD_WAYS - 1 && gp_elements_pad_is_valid (&set->ways[at]))
    at++;
  memmove (&set->ways[1], &set->ways[0], (size_t) at * sizeof set->ways[0]);
  set->ways[0] = pad;
}

static bool
is_full (const struct gp_pad_set *set)
{
  for (int i = 0; i < GP_PAD_WAYS; i++)
    if (!gp_elements_pad_is_valid (&set->ways[i]))
      return false;
  return true;
}

/* The element that runs when data goes to another element, or is asked from it, is linked to that one. To know this
 * takes no lock. */
static void
add_link (const struct gp_thread *thread, uintptr_t sp, enum gp_pad_side side, uint32_t label)
{
  if (side == GP_PAD_OWN_CHAINED || side == GP_PAD_PEER_PUSHED)
    gp_pad_links_add (gp_label_current (thread, sp + 1), label);
  else if (side == GP_PAD_PEER_PULLED)
    gp_pad_links_add (label, gp_label_current (thread, sp + 1));
}

uint32_t
gp_elements_pad_missed (struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp, uint32_t generation)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uintptr_t key = gp_elements_pad_key (pad, side);
  if (thread->more_pads != NULL) {
    const struct gp_pad_set *more = gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key);
    const struct gp_pad_cache *cached = gp_elements_pad_cached (more, key, generation);
    if (cached != NULL)
      return cached->label;
  }
  if ((side == GP_PAD_PEER_LOCKED || side == GP_PAD_OWN_LOCKED) && is_locked (pad))
    return 0;
  bool own = side == GP_PAD_OWN || side == GP_PAD_OWN_CHAINED || side == GP_PAD_OWN_LOCKED;
  uint32_t label = find_pad_label (pad, !own);
  add_link (thread, sp, side, label);
  struct gp_pad_set *set = gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key);
  /* A full set keeps what it has: a chain of pads that cycles through the set would otherwise replace just what it
   * needs next. */
  if (is_full (set) && more_pads (thread) != NULL)
    set = gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key);
  cache_pad (set, (struct gp_pad_cache) { key, generation, label });
  return label;
}
