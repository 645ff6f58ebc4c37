/* SPDX-License-Identifier: MIT */
/* loading.c: the label of plugins being loaded.
 *
 * decodebin and others load plugins within the push of a capsfilter or a typefind: dlopen, the constructors of all
 * libraries that are loaded along, the plugin's init function, and the class of an element when its first instance is
 * made. The init function is called by pointer, so no import slot leads to it. But libgstreamer traps SIGSEGV around
 * it, in the function that has opened the module: the label that was entered for g_module_open() stays in force until
 * the trap is removed. Where the host wants no trap (gst_segtrap_set_enabled), the init function counts for the label
 * in force.
 *
 * Context: lifecycle, on the host's threads.
 */
#include "shim/labels/loading.h"

#include "shim/labels/construction.h"
#include "shim/labels/label.h"

struct gp_loading_real g_loading_real;
const char *const g_libgstreamer[] = { "libgstreamer-", NULL };

/* Leaves [loading plugins] where it is the innermost label. */
static void
leave (void)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_known () : NULL;
  if (thread == NULL || thread->depth == 0)
    return;
  const struct gp_boundary *top = &thread->entries[thread->depth - 1];
  if (top->label == gp_label_fixed (GP_LABEL_LOADING))
    gp_label_pop (thread, top->sp);
}

GModule *
gp_loading_open (const gchar *name, GModuleFlags flags)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL)
    return g_loading_real.open (name, flags);
  struct gp_boundary boundary = GP_CALLER (gp_label_fixed (GP_LABEL_LOADING));
  gp_label_push (thread, boundary);
  GModule *module = g_loading_real.open (name, flags);
  if (module == NULL || !GST (gst_segtrap_is_enabled) ())
    leave ();
  return module;
}

gboolean
gp_loading_close (GModule *module)
{
  gboolean closed = g_loading_real.close (module); /* it was no plugin */
  leave ();
  return closed;
}

int
gp_loading_trap (int number, const struct sigaction *action, struct sigaction *before)
{
  int result = g_loading_real.trap (number, action, before);
  if (before == NULL) /* the trap is removed */
    leave ();
  return result;
}

GObject *
gp_loading_new (GType type, guint n, const char **names, const GValue *values)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL)
    return g_loading_real.new (type, n, names, values);
  gpointer class = NULL;
  if (GST (g_type_class_peek) (type) == NULL) {
    struct gp_boundary boundary = GP_CALLER (gp_label_fixed (GP_LABEL_LOADING));
    gp_label_push (thread, boundary);
    class = GST (g_type_class_ref) (type);
    if (atomic_load (&g_active)) /* not in the child of a fork */
      gp_label_pop (thread, boundary.sp);
  }
  uint32_t outer = gp_construction_begin (thread);
  GObject *object = g_loading_real.new (type, n, names, values);
  gp_construction_end (thread, outer, object);
  if (class != NULL)
    GST (g_type_class_unref) (class);
  return object;
}
