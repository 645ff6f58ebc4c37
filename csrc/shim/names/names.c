/* SPDX-License-Identifier: MIT */
/* names.c: collects types and pad functions in hooks; names them, and publishes the names in the segment, on the
 * poller's thread.
 *
 * Types come from live instances, so their classes are complete, and GStreamer's types are never unregistered.
 * _gst_debug_nameof_funcptr() makes up a name for a function that it does not know, and keeps it for ever; so each
 * function is asked for once.
 *
 * Context: said in names.h at each function.
 */
#include "shim/names/names.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "shim/base/thread_state.h"
#include "shim/modules/modules.h"
#include "shim/names/names_formats.h"
#include "shim/names/names_list.h"
#include "shim/names/vtable_slots.h"

enum
{
  SET_LOG2 = 13,
  SET_ROWS = 1 << SET_LOG2,
  SET_PROBES = 32,
  NAME_BYTES = 256
};

enum state
{
  NEW = 0,
  CLAIMED = 1, /* its module is in the list */
  DONE = 2
};

/* A set of types or function pointers. Any thread adds words, nobody removes them. What finds no place is left without
 * a name. */
struct word_set
{
  _Atomic uintptr_t rows[SET_ROWS];
  uint8_t state[SET_ROWS]; /* poller's: enum state */
};

static struct word_set g_types;
static struct word_set g_functions;
static _Atomic uint32_t g_collected; /* number of words in both sets */

static size_t
first_row (uintptr_t word)
{
  return (size_t) ((uint64_t) word * 0x9e3779b97f4a7c15u >> (64 - SET_LOG2));
}

static void
collect (struct word_set *set, uintptr_t word)
{
  if (word == 0)
    return;
  size_t row = first_row (word);
  for (int i = 0; i < SET_PROBES; i++, row = (row + 1) % SET_ROWS) {
    uintptr_t there = atomic_load_explicit (&set->rows[row], memory_order_relaxed);
    if (there == 0 && atomic_compare_exchange_strong (&set->rows[row], &there, word)) {
      atomic_fetch_add (&g_collected, 1);
      return;
    }
    if (there == word)
      return;
  }
}

static void
collect_task (GstPad *pad)
{
  /* Only tried: the thread that holds the lock may be waiting for what this one holds. */
  if (!GST (g_mutex_trylock) (&GST_OBJECT_CAST (pad)->lock))
    return;
  GstTask *task = GST_PAD_TASK (pad);
  if (task != NULL)
    collect (&g_functions, (uintptr_t) task->func);
  GST (g_mutex_unlock) (&GST_OBJECT_CAST (pad)->lock);
}

void
gp_names_collect_pad (GstPad *pad)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  /* Plain fields that their owner may be setting meanwhile: each word is read whole, old or new. */
  const void *const functions[] = {
    (const void *) GST_PAD_CHAINFUNC (pad),
    (const void *) GST_PAD_CHAINLISTFUNC (pad),
    (const void *) GST_PAD_GETRANGEFUNC (pad),
    (const void *) GST_PAD_EVENTFUNC (pad),
    (const void *) GST_PAD_EVENTFULLFUNC (pad),
    (const void *) GST_PAD_QUERYFUNC (pad),
    (const void *) GST_PAD_ACTIVATEFUNC (pad),
    (const void *) GST_PAD_ACTIVATEMODEFUNC (pad),
    (const void *) GST_PAD_ITERINTLINKFUNC (pad),
    (const void *) GST_PAD_LINKFUNC (pad),
    (const void *) GST_PAD_UNLINKFUNC (pad),
  };
  collect (&g_types, G_TYPE_FROM_INSTANCE (pad));
  for (size_t i = 0; i < G_N_ELEMENTS (functions); i++)
    collect (&g_functions, (uintptr_t) functions[i]);
}

void
gp_names_collect_element (GstElement *element)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  collect (&g_types, G_TYPE_FROM_INSTANCE (element));
  GST (g_mutex_lock) (&GST_OBJECT_CAST (element)->lock);
  for (GList *item = element->pads; item != NULL; item = item->next) {
    gp_names_collect_pad (item->data);
    collect_task (item->data);
  }
  GST (g_mutex_unlock) (&GST_OBJECT_CAST (element)->lock);
}

/* The identifier in the text that GST_DEBUG_FUNCPTR registered, which may include a cast; NULL: the text is an address.
 */
static const char *
identifier (const char *registered)
{
  const char *name = strrchr (registered, ')');
  name = name != NULL ? name + 1 : registered;
  while (*name == ' ' || *name == '&')
    name++;
  if (!isalpha ((unsigned char) *name) && *name != '_')
    return NULL;
  for (const char *c = name; *c != '\0'; c++)
    if (!isalnum ((unsigned char) *c) && *c != '_')
      return NULL;
  return name;
}

static const char *
registered_name (uintptr_t function)
{
  const char *registered = g_gst.nameof_funcptr != NULL ? g_gst.nameof_funcptr ((GstDebugFuncPtr) function) : NULL;
  return registered != NULL ? identifier (registered) : NULL;
}

/* Whether the function was not named or looked up before, by pad or by slot; it counts as done from now on. Poller. */
static bool
is_new_function (uintptr_t function)
{
  size_t row = first_row (function);
  for (int i = 0; i < SET_PROBES; i++, row = (row + 1) % SET_ROWS)
    if (atomic_load_explicit (&g_functions.rows[row], memory_order_relaxed) == function) {
      bool is_new = g_functions.state[row] != DONE;
      g_functions.state[row] = DONE;
      return is_new;
    }
  return false;
}

/* The slot at this offset, by the class that introduced it: the type itself or one of its ancestors. */
static const char *
slot_at (GType type, size_t offset)
{
  GTypeQuery query;
  for (GType parent; type != 0; type = parent) {
    parent = GST (g_type_parent) (type);
    memset (&query, 0, sizeof query);
    if (parent != 0)
      GST (g_type_query) (parent, &query);
    /* GObject's own parent is GTypeClass, whose size cannot be queried. */
    size_t base = query.class_size != 0 ? query.class_size : sizeof (GTypeClass);
    if (offset >= base)
      return gp_names_slot (GST (g_type_name) (type), base, offset);
  }
  return NULL;
}

/* Names each function in the class struct that is not the parent's too. */
static void
name_class (GType type)
{
  GTypeQuery query, parent_query;
  GType parent_type = GST (g_type_parent) (type);
  const char *class_struct = GST (g_type_class_peek) (type);
  const char *parent = parent_type != 0 ? GST (g_type_class_peek) (parent_type) : NULL;
  memset (&query, 0, sizeof query);
  memset (&parent_query, 0, sizeof parent_query);
  GST (g_type_query) (type, &query);
  if (parent != NULL)
    GST (g_type_query) (parent_type, &parent_query);
  if (class_struct == NULL)
    return;
  for (size_t at = sizeof (GTypeClass); at + sizeof (uintptr_t) <= query.class_size; at += sizeof (uintptr_t)) {
    uintptr_t function, parents = 0;
    memcpy (&function, class_struct + at, sizeof function);
    if (at + sizeof parents <= parent_query.class_size)
      memcpy (&parents, parent + at, sizeof parents);
    if (function == parents || gp_modules_listed (function) == NULL)
      continue;
    collect (&g_functions, function);
    if (!is_new_function (function))
      continue;
    const char *name = registered_name (function);
    const char *slot = name == NULL ? slot_at (type, at) : NULL;
    char text[NAME_BYTES];
    if (slot != NULL && snprintf (text, sizeof text, "%s.%s", query.type_name, slot) < (int) sizeof text)
      name = text;
    if (name != NULL)
      gp_names_add (function, 0, name);
  }
}

static void
name_type (GType type)
{
  for (; type != 0; type = GST (g_type_parent) (type)) {
    collect (&g_types, type);
    size_t row = first_row (type);
    for (int i = 0; i < SET_PROBES; i++, row = (row + 1) % SET_ROWS)
      if (atomic_load_explicit (&g_types.rows[row], memory_order_relaxed) == type)
        break;
    if (g_types.rows[row] != type || g_types.state[row] == DONE)
      return; /* and so are its ancestors */
    g_types.state[row] = DONE;
    name_class (type);
  }
}

static void
claim (struct word_set *set)
{
  for (size_t i = 0; i < SET_ROWS; i++)
    if (set->state[i] == NEW && atomic_load_explicit (&set->rows[i], memory_order_relaxed) != 0)
      set->state[i] = CLAIMED;
}

void
gp_names_refresh (void)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  static uint32_t done;
  uint32_t collected = atomic_load (&g_collected);
  if (collected == done)
    return;
  done = collected;
  /* The list of modules is read after the words are claimed: a plugin may have been loaded since the list was last
   * read. */
  claim (&g_types);
  claim (&g_functions);
  gp_modules_refresh ();
  gp_names_formats ();
  for (size_t i = 0; i < SET_ROWS; i++)
    if (g_types.state[i] == CLAIMED)
      name_type (atomic_load_explicit (&g_types.rows[i], memory_order_relaxed));
  for (size_t i = 0; i < SET_ROWS; i++) {
    if (g_functions.state[i] != CLAIMED)
      continue;
    uintptr_t function = atomic_load_explicit (&g_functions.rows[i], memory_order_relaxed);
    g_functions.state[i] = DONE;
    const char *name = gp_modules_listed (function) != NULL ? registered_name (function) : NULL;
    if (name != NULL)
      gp_names_add (function, 0, name);
  }
}
