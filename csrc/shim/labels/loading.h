/* SPDX-License-Identifier: MIT */
/* loading.h: loading a plugin has a label of its own: it does not count for the element that happens to run.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements, in libgstreamer alone).
 */
#ifndef GP_LOADING_H
#define GP_LOADING_H

#include <gmodule.h>
#include <signal.h>
#include "shim/base/gst_api.h"

struct gp_loading_real
{
  GModule *(*open) (const gchar *, GModuleFlags);
  gboolean (*close) (GModule *);
  int (*trap) (int, const struct sigaction *, struct sigaction *);
  GObject *(*new) (GType, guint, const char **, const GValue *);
};

/* The real functions of the replacements below, set by the redirect pass, and the module whose calls are replaced. */
extern GP_INTERNAL struct gp_loading_real g_loading_real;
extern GP_INTERNAL const char *const g_libgstreamer[];

/* Enters [loading plugins]. The two below leave it, whichever is called first. MT-Safe | AS-Unsafe */
GP_INTERNAL GModule *gp_loading_open (const gchar *name, GModuleFlags flags);
GP_INTERNAL gboolean gp_loading_close (GModule *module);
GP_INTERNAL int gp_loading_trap (int number, const struct sigaction *action, struct sigaction *before);

/* An element is made: first its class, where that does not exist yet, under [loading plugins], then the element.
 * MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL GObject *gp_loading_new (GType type, guint n, const char **names, const GValue *values);

#endif
