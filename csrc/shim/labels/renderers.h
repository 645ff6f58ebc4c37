/* SPDX-License-Identifier: MIT */
/* renderers.h: the workers of a software renderer serve whoever wakes them.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements, in the renderer's modules alone).
 */
#ifndef GP_RENDERERS_H
#define GP_RENDERERS_H

#include <pthread.h>
#include "shim/base/segment.h"

struct gp_renderers_real
{
  int (*wait) (pthread_cond_t *, pthread_mutex_t *);
  int (*signal) (pthread_cond_t *);
  int (*broadcast) (pthread_cond_t *);
  int (*lock) (pthread_mutex_t *);
};

/* What the replacements below stand for, and the modules that they are for; set by redirect.c. */
extern GP_INTERNAL struct gp_renderers_real g_renderers_real;
extern GP_INTERNAL const char *const g_renderers[];

/* Do what they replace; a worker's base becomes the label of who signalled for the work that it takes. MT-Safe lock |
 * AS-Unsafe lock */
GP_INTERNAL int gp_renderers_wait (pthread_cond_t *condition, pthread_mutex_t *mutex);
GP_INTERNAL int gp_renderers_signal (pthread_cond_t *condition);
GP_INTERNAL int gp_renderers_broadcast (pthread_cond_t *condition);
GP_INTERNAL int gp_renderers_lock (pthread_mutex_t *mutex);

#endif
