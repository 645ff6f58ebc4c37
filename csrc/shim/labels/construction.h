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

/* Called around the construction of an element, on the thread that makes it. end gets what begin returned, and the
 * object that was made. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL uint32_t gp_construction_begin (struct gp_thread *thread);
GP_INTERNAL void gp_construction_end (struct gp_thread *thread, uint32_t outer, const void *object);

/* The construction in which this thread makes a new one; 0: none. MT-Safe | AS-Safe */
GP_INTERNAL uint32_t gp_construction_of_birth (struct gp_thread *thread);

extern GP_INTERNAL _Atomic uint32_t g_constructions_unnamed;

/* The element has its name and its bin now, and so its label: threads of its construction may take that. MT-Safe lock |
 * AS-Unsafe lock */
GP_INTERNAL void gp_construction_names (GstElement *element, uint32_t label);

struct gp_construction_real
{
  int (*poll) (struct pollfd *, nfds_t, int);
  int (*ppoll) (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
};

/* The real functions of the replacements below, set by the redirect pass, and the modules whose calls are replaced. */
extern GP_INTERNAL struct gp_construction_real g_construction_real;
extern GP_INTERNAL const char *const g_libglib[];

/* Call the real functions; then the calling thread takes its element's label, once that is known. MT-Safe lock |
 * AS-Unsafe lock */
GP_INTERNAL int gp_construction_poll (struct pollfd *fds, nfds_t n, int timeout);
GP_INTERNAL int gp_construction_ppoll (
    struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

#endif
