/* SPDX-License-Identifier: MIT */
/* trampoline.h: replacements of pthread_create(), by which new threads of the host begin in a function of ours.
 *
 * Context: lifecycle, on the host's threads.
 */
#ifndef GP_TRAMPOLINE_H
#define GP_TRAMPOLINE_H

#include <pthread.h>
#include "shim/base/segment.h"

/* The real function; set by the pass over the modules. */
extern GP_INTERNAL int (*g_real_pthread_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);

/* As pthread_create(3). The thread inherits its creator's element. MT-Safe | AS-Unsafe heap */
GP_INTERNAL int gp_trampoline_create (
    pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument);

/* The same for a software renderer's workers, which work for the thread that wakes them: labels/renderers.h. */
GP_INTERNAL int gp_trampoline_create_renderer (
    pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument);

#endif
