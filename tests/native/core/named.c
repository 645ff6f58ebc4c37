/* SPDX-License-Identifier: MIT */
/* named.c: names that only the host knows: registered functions, slots of classes, ORC's kernels. GStreamer is the real
 * one, ORC is a stub.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include "core.h"
#include <sys/mman.h>
#include "shim/base/gst_api.h"
#include "shim/names/names.h"
#include "shim/names/names_list.h"
#include "shim/names/names_orc.h"

enum
{
  NAME_BYTES = 256 /* as in csrc/shim/names/names.c and names_orc.c */
};

static GstElementClass *g_parent_class;

static void
start (void)
{
  /* As in a host, where GStreamer is loaded before the tracer starts: its calls are redirected from the start on. */
  gst_init (NULL, NULL);
  if (gp_gst_load () != NULL)
    abort ();
  core_start (100);
}

/* The name of an address; NULL: it has none. Fails where it has two. */
static const char *
name_of (const void *address)
{
  const char *found = NULL;
  for (uint32_t i = 0; i < gp_load_acquire (&g_segment->name_count); i++)
    if (g_segment->names[i].address == (uintptr_t) address) {
      CHECK (found == NULL);
      found = g_segment->strings + g_segment->names[i].text;
    }
  return found;
}

static bool
is_named (const void *address, const char *wanted)
{
  const char *name = name_of (address);
  if (name != NULL && wanted != NULL)
    return strcmp (name, wanted) == 0;
  return name == NULL && wanted == NULL;
}

static GstStateChangeReturn
state_of_test (GstElement *element, GstStateChange change)
{
  return g_parent_class->change_state (element, change);
}

static void
init_class (gpointer class, gpointer data)
{
  (void) data;
  g_parent_class = g_type_class_peek_parent (class);
  ((GstElementClass *) class)->change_state = state_of_test;
}

/* An element of a type of its own, which overrides change_state where init is init_class. */
static GstElement *
make_element (const char *type_name, GClassInitFunc init)
{
  GType type = g_type_register_static_simple (
      GST_TYPE_ELEMENT, type_name, sizeof (GstElementClass), init, sizeof (GstElement), NULL, 0);
  GstElement *element = g_object_new (type, NULL);
  gst_object_ref_sink (element);
  return element;
}

static GstFlowReturn
chain_of_test (GstPad *pad, GstObject *parent, GstBuffer *buffer)
{
  (void) pad, (void) parent;
  gst_buffer_unref (buffer);
  return GST_FLOW_OK;
}

static gboolean
event_of_test (GstPad *pad, GstObject *parent, GstEvent *event)
{
  return gst_pad_event_default (pad, parent, event);
}

static gboolean
query_of_test (GstPad *pad, GstObject *parent, GstQuery *query)
{
  return gst_pad_query_default (pad, parent, query);
}

static void
task_of_test (void *data)
{
  (void) data;
}

static GstElement *
make_with_pad (void)
{
  GstElement *element = make_element ("GpPadded", NULL);
  GstPad *pad = gst_pad_new ("sink", GST_PAD_SINK);
  gst_pad_set_chain_function_full (pad, chain_of_test, NULL, NULL);
  gst_pad_set_event_function_full (pad, event_of_test, NULL, NULL);
  gst_pad_set_query_function_full (pad, query_of_test, NULL, NULL);
  gst_element_add_pad (element, pad);
  return element;
}

TEST (registered_functions_of_pads_are_named_once)
{
  start ();
  _gst_debug_register_funcptr ((GstDebugFuncPtr) chain_of_test, "chain_of_test");
  _gst_debug_register_funcptr ((GstDebugFuncPtr) event_of_test, "(GstPadEventFunction) & event_of_test");
  _gst_debug_register_funcptr ((GstDebugFuncPtr) query_of_test, "make_query (1)");
  GstElement *element = make_with_pad ();
  for (int i = 0; i < 3; i++) {
    gp_names_collect_element (element);
    gp_names_refresh ();
  }
  CHECK (is_named (chain_of_test, "chain_of_test"));
  CHECK (is_named (event_of_test, "event_of_test"));
  CHECK (is_named (query_of_test, NULL)); /* no name, but an expression */
  gst_object_unref (element);
}

TEST (a_pad_that_somebody_holds_is_not_waited_for)
{
  start ();
  _gst_debug_register_funcptr ((GstDebugFuncPtr) task_of_test, "task_of_test");
  GstElement *element = make_with_pad ();
  GstPad *pad = gst_element_get_static_pad (element, "sink");
  GRecMutex lock;
  g_rec_mutex_init (&lock);
  GstTask *task = gst_task_new (task_of_test, NULL, NULL);
  gst_task_set_lock (task, &lock);
  GST_OBJECT_LOCK (pad);
  GST_PAD_TASK (pad) = task;
  gp_names_collect_element (element);
  gp_names_refresh ();
  CHECK (is_named (task_of_test, NULL));
  GST_OBJECT_UNLOCK (pad);
  gp_names_collect_element (element);
  gp_names_refresh ();
  CHECK (is_named (task_of_test, "task_of_test"));
  GST_PAD_TASK (pad) = NULL;
  gst_object_unref (task);
  gst_object_unref (pad);
  gst_object_unref (element);
}

TEST (a_class_names_its_own_slots_and_no_inherited_ones)
{
  start ();
  GstElement *element = make_element ("GpOwner", init_class);
  gp_names_collect_element (element);
  gst_object_unref (element); /* finalized before it is named */
  gp_names_refresh ();
  CHECK (is_named (state_of_test, "GpOwner.change_state"));
  GstElement *child = g_object_new (g_type_register_static_simple (g_type_from_name ("GpOwner"), "GpChild",
                                        sizeof (GstElementClass), NULL, sizeof (GstElement), NULL, 0),
      NULL);
  gst_object_ref_sink (child);
  gp_names_collect_element (child);
  gp_names_refresh ();
  CHECK (is_named (state_of_test, "GpOwner.change_state"));
  gst_object_unref (child);
}

/* The type's name, ".change_state" and the end of the string, in so many bytes. */
static bool
is_named_with (size_t bytes)
{
  char type_name[2 * NAME_BYTES] = "";
  start ();
  memset (type_name, 'T', bytes - sizeof ".change_state");
  GstElement *element = make_element (type_name, init_class);
  gp_names_collect_element (element);
  gp_names_refresh ();
  gst_object_unref (element);
  const char *name = name_of (state_of_test);
  CHECK (name == NULL || strlen (name) == bytes - 1);
  return name != NULL;
}

TEST (a_name_that_just_fits_is_kept)
{
  CHECK (is_named_with (NAME_BYTES));
}

TEST (a_name_that_does_not_fit_is_left_out)
{
  CHECK (!is_named_with (NAME_BYTES + 1));
}

/* More types than their set has places. */
TEST (nine_thousand_types_come_and_go)
{
  start ();
  for (int i = 0; i < 9000; i++) {
    char type_name[32];
    snprintf (type_name, sizeof type_name, "GpType%d", i);
    GstElement *element = make_element (type_name, i == 5 ? init_class : NULL);
    gp_names_collect_element (element);
    gst_object_unref (element);
    if (i % 1000 == 0)
      gp_names_refresh ();
  }
  gp_names_refresh ();
  CHECK (is_named (state_of_test, "GpType5.change_state"));
}

static void *
come_and_go (void *stop)
{
  GType type = g_type_from_name ("GpPadded");
  while (!atomic_load ((_Atomic bool *) stop)) {
    GstElement *element = g_object_new (type, NULL);
    gst_object_ref_sink (element);
    GstPad *pad = gst_pad_new ("sink", GST_PAD_SINK);
    gst_pad_set_chain_function_full (pad, chain_of_test, NULL, NULL);
    gst_element_add_pad (element, pad);
    gp_names_collect_element (element);
    gp_names_collect_pad (pad);
    gst_object_unref (element);
  }
  return NULL;
}

TEST (elements_come_and_go_while_they_are_named)
{
  static _Atomic bool stop;
  start ();
  _gst_debug_register_funcptr ((GstDebugFuncPtr) chain_of_test, "chain_of_test");
  gst_object_unref (make_with_pad ());
  pthread_t ids[3];
  for (int i = 0; i < 3; i++)
    host_create (&ids[i], NULL, come_and_go, &stop);
  for (int i = 0; i < 200; i++) {
    gp_names_refresh ();
    sleep_ns (1000000);
  }
  atomic_store (&stop, true);
  for (int i = 0; i < 3; i++)
    pthread_join (ids[i], NULL);
  gp_names_refresh ();
  CHECK (is_named (chain_of_test, "chain_of_test"));
}

TEST (a_full_list_takes_no_more)
{
  start ();
  uint32_t before = g_segment->name_count;
  for (uint32_t i = before; i < GP_NAMES + 10; i++)
    gp_names_add (i + 1, 0, "f");
  CHECK_EQUAL (g_segment->name_count, GP_NAMES);
}

TEST (a_full_string_heap_takes_no_more)
{
  static char text[1 << 20];
  start ();
  memset (text, 'f', sizeof text - 1);
  for (int i = 0; i < 20; i++)
    gp_names_add (1000 + (uintptr_t) i, 0, text);
  uint32_t names = g_segment->name_count;
  CHECK (names < 16);
  for (uint32_t i = 0; i < names; i++)
    CHECK (g_segment->names[i].text != 0);
  CHECK (g_segment->strings_used <= GP_STRINGS);
}

/* The head of liborc's OrcCode. */
static struct
{
  void *exec;
  int result;
  char *name;
  unsigned char *code;
  int code_size;
} g_code;

static void *
play_take_code (void *program)
{
  return program;
}

static const char *g_program_name;

static const char *
play_get_name (void *program)
{
  (void) program;
  return g_program_name;
}

/* Whether the code has a name, and it is text, where that is not NULL. */
static bool
takes (void *exec, int code_size, const char *program_name, const char *text)
{
  g_code.exec = exec;
  g_code.code_size = code_size;
  g_program_name = program_name;
  g_segment->name_count = 0;
  CHECK (gp_names_orc_take_code (&g_code) == &g_code);
  const char *name = name_of (exec);
  if (name != NULL && text != NULL)
    CHECK (strcmp (name, text) == 0);
  return name != NULL;
}

TEST (orcs_kernels_are_named_by_their_programs)
{
  char longest[NAME_BYTES], longer[4 * NAME_BYTES];
  start ();
  g_names_real_orc_take_code = play_take_code;
  char *code = mmap (NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK (!takes (code, 64, "early", NULL)); /* liborc's other function is not known yet */
  g_names_orc_get_name = play_get_name;
  CHECK (takes (code, 64, "add8", "orc: add8"));
  CHECK_EQUAL (g_segment->names[0].bytes, 64);
  CHECK (takes (code, 65536, "add8", "orc: add8"));
  CHECK (!takes (code, 65536, "add8", NULL)); /* compiled again at the same address: in the list already */
  CHECK (takes (code, 65536, "sub8", "orc: sub8"));
  CHECK (takes (code, 65536, "add8", "orc: add8"));
  memset (longer, 'k', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  snprintf (longest, sizeof longest, "orc: %.*s", NAME_BYTES - 6, longer);
  CHECK (takes (code, 1, longer, longest));
  CHECK (!takes (code, 0, "add8", NULL));
  CHECK (!takes (code, -1, "add8", NULL));
  CHECK (!takes (code, 65537, "add8", NULL));
  CHECK (!takes (code, 64, "", NULL));
  CHECK (!takes (code, 64, NULL, NULL));
  CHECK (!takes (NULL, 64, "add8", NULL));
  CHECK (!takes ((void *) (uintptr_t) play_get_name, 64, "add8", NULL)); /* not compiled: a function of the host's */
  CHECK (gp_names_orc_take_code (NULL) == NULL);
  atomic_store (&g_active, false);
  CHECK (!takes (code, 64, "add8", NULL));
}
