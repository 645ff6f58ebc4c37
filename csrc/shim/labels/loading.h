/* SPDX-License-Identifier: MIT */
/* loading.h: what loading a plugin costs is nobody's who happens to run.
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

/* What the replacements below stand for, and the module that they are for; set by redirect.c. */
extern GP_INTERNAL struct gp_loading_real g_loading_real;
extern GP_INTERNAL const char *const g_libgstreamer[];

/* Enters [loading plugins]; the two below leave it, whichever comes first. MT-Safe | AS-Unsafe */
GP_INTERNAL GModule *gp_loading_open (const gchar *name, GModuleFlags flags);
GP_INTERNAL gboolean gp_loading_close (GModule *module);
GP_INTERNAL int gp_loading_trap (int number, const struct sigaction *action, struct sigaction *before);

/* An element is made: its class under [loading plugins], where it is not there yet, then itself. MT-Safe lock |
 * AS-Unsafe lock heap */
GP_INTERNAL GObject *gp_loading_new (GType type, guint n, const char **names, const GValue *values);

#endif
