/* SPDX-License-Identifier: MIT */
/* construction.h: threads that an element makes while it is itself being made.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements), and the slow path of hooks.
 */
#ifndef GP_CONSTRUCTION_H
#define GP_CONSTRUCTION_H

#include <poll.h>
#include "shim/base/gst_api.h"
#include "shim/base/thread_state.h"

/* Around the making of an element, on the thread that makes it; begin returns what end wants back. object: what came of
 * it. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_construction_begin (struct gp_thread *thread);
GP_INTERNAL void gp_construction_end (struct gp_thread *thread, uint32_t outer, const void *object);

/* The construction that a new thread of this one is born in; 0: none. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_construction_of_birth (struct gp_thread *thread);

extern GP_INTERNAL _Atomic uint32_t g_constructions_unnamed;

/* The element has its name and its place: it begins to do something. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_construction_names (GstElement *element, uint32_t label);

struct gp_construction_real
{
  int (*poll) (struct pollfd *, nfds_t, int);
  int (*ppoll) (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
};

/* What the replacements below stand for, and the modules that they are for; set by redirect.c. */
extern GP_INTERNAL struct gp_construction_real g_construction_real;
extern GP_INTERNAL const char *const g_libglib[];

/* Do what they replace, and give a thread its element once that is known. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL int gp_construction_poll (struct pollfd *fds, nfds_t n, int timeout);
GP_INTERNAL int gp_construction_ppoll (
    struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

#endif
