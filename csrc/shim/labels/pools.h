/* SPDX-License-Identifier: MIT */
/* pools.h: labels for what runs in GLib's thread pools, whose threads are shared between pools and pipelines.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements).
 */
#ifndef GP_POOLS_H
#define GP_POOLS_H

#include <glib.h>
#include "shim/base/segment.h"

typedef GThreadPool *(*gp_pool_new_function) (GFunc, gpointer, gint, gboolean, GError **);
typedef GThreadPool *(*gp_pool_new_full_function) (GFunc, gpointer, GDestroyNotify, gint, gboolean, GError **);
typedef gboolean (*gp_pool_push_function) (GThreadPool *, gpointer, GError **);
typedef void (*gp_pool_free_function) (GThreadPool *, gboolean, gboolean);

/* The real functions of the replacements below; set by the redirect pass. */
extern GP_INTERNAL gp_pool_new_function g_real_pool_new;
extern GP_INTERNAL gp_pool_new_full_function g_real_pool_new_full;
extern GP_INTERNAL gp_pool_push_function g_real_pool_push;
extern GP_INTERNAL gp_pool_free_function g_real_pool_free;

/* Let the pool's function run under a label: that of the element that pushed the item, or of the one that made the
 * pool. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL GThreadPool *gp_pool_new (
    GFunc function, gpointer data, gint max_threads, gboolean exclusive, GError **error);
GP_INTERNAL GThreadPool *gp_pool_new_full (
    GFunc function, gpointer data, GDestroyNotify item_free, gint max_threads, gboolean exclusive, GError **error);
GP_INTERNAL gboolean gp_pool_push (GThreadPool *pool, gpointer item, GError **error);

/* Frees what was kept for the pool. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait);

#endif
