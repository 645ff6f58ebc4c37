/* SPDX-License-Identifier: MIT */
/* renderers.h: the threads of a software renderer run under the label of whoever wakes them.
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

/* The real functions of the replacements below, set by the redirect pass, and the modules whose calls are replaced. */
extern GP_INTERNAL struct gp_renderers_real g_renderers_real;
extern GP_INTERNAL const char *const g_renderers[];

/* Call the real functions. A worker's base becomes the label under which the work that it takes was signalled. MT-Safe
 * lock | AS-Unsafe lock */
GP_INTERNAL int gp_renderers_wait (pthread_cond_t *condition, pthread_mutex_t *mutex);
GP_INTERNAL int gp_renderers_signal (pthread_cond_t *condition);
GP_INTERNAL int gp_renderers_broadcast (pthread_cond_t *condition);
GP_INTERNAL int gp_renderers_lock (pthread_mutex_t *mutex);

#endif
