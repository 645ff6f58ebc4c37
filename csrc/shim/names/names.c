/* SPDX-License-Identifier: MIT */
/* names.c: gathers types and pad functions as they are met, names them, and publishes the names in the segment.
 *
 * Types come from live instances, so their classes are complete, and GStreamer's types are never unregistered.
 * _gst_debug_nameof_funcptr() remembers a made-up name for a function that it does not know; each one is asked for
 * once.
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

/* Words met, never removed. Any thread adds; what finds no room is left without a name. */
struct met_set
{
  _Atomic uintptr_t rows[SET_ROWS];
  uint8_t state[SET_ROWS]; /* poller's: enum state */
};

static struct met_set g_types;
static struct met_set g_functions;
static _Atomic uint32_t g_met; /* raised with each new word */

static size_t
first_row (uintptr_t word)
{
  return (size_t) ((uint64_t) word * 0x9e3779b97f4a7c15u >> (64 - SET_LOG2));
}

static void
meet (struct met_set *set, uintptr_t word)
{
  if (word == 0)
    return;
  size_t row = first_row (word);
  for (int i = 0; i < SET_PROBES; i++, row = (row + 1) % SET_ROWS) {
    uintptr_t there = atomic_load_explicit (&set->rows[row], memory_order_relaxed);
    if (there == 0 && atomic_compare_exchange_strong (&set->rows[row], &there, word)) {
      atomic_fetch_add (&g_met, 1);
      return;
    }
    if (there == word)
      return;
  }
}

static void
meet_task (GstPad *pad)
{
  /* Only tried: whoever holds it may be waiting for what this thread holds. */
  if (!GST (g_mutex_trylock) (&GST_OBJECT_CAST (pad)->lock))
    return;
  GstTask *task = GST_PAD_TASK (pad);
  if (task != NULL)
    meet (&g_functions, (uintptr_t) task->func);
  GST (g_mutex_unlock) (&GST_OBJECT_CAST (pad)->lock);
}

void
gp_names_meet_pad (GstPad *pad)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  /* Plain fields that their owner may be setting: a word is there or not. */
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
  meet (&g_types, G_TYPE_FROM_INSTANCE (pad));
  for (size_t i = 0; i < G_N_ELEMENTS (functions); i++)
    meet (&g_functions, (uintptr_t) functions[i]);
}

void
gp_names_meet_element (GstElement *element)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  meet (&g_types, G_TYPE_FROM_INSTANCE (element));
  GST (g_mutex_lock) (&GST_OBJECT_CAST (element)->lock);
  for (GList *item = element->pads; item != NULL; item = item->next) {
    gp_names_meet_pad (item->data);
    meet_task (item->data);
  }
  GST (g_mutex_unlock) (&GST_OBJECT_CAST (element)->lock);
}

/* The identifier in what GST_DEBUG_FUNCPTR was given, which may hold a cast; NULL: no name, but an address. */
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

/* Whether the function is seen for the first time, by pad or by slot. Poller. */
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

/* The class that first had slots at this offset: the type itself or one of its ancestors. */
static const char *
slot_at (GType type, size_t offset)
{
  GTypeQuery query;
  for (GType parent; type != 0; type = parent) {
    parent = GST (g_type_parent) (type);
    memset (&query, 0, sizeof query);
    if (parent != 0)
      GST (g_type_query) (parent, &query);
    /* GObject's own parent is GTypeClass; it has no size to ask for. */
    size_t base = query.class_size != 0 ? query.class_size : sizeof (GTypeClass);
    if (offset >= base)
      return gp_names_slot (GST (g_type_name) (type), base, offset);
  }
  return NULL;
}

/* Each word of the class struct that is code, and is not the parent's. */
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
    meet (&g_functions, function);
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
    meet (&g_types, type);
    size_t row = first_row (type);
    for (int i = 0; i < SET_PROBES; i++, row = (row + 1) % SET_ROWS)
      if (atomic_load_explicit (&g_types.rows[row], memory_order_relaxed) == type)
        break;
    if (g_types.rows[row] != type || g_types.state[row] == DONE)
      return; /* and so its ancestors */
    g_types.state[row] = DONE;
    name_class (type);
  }
}

static void
claim (struct met_set *set)
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
  uint32_t met = atomic_load (&g_met);
  if (met == done)
    return;
  done = met;
  /* The list of modules comes after what is claimed: a plugin may have been loaded and met since the last look. */
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
