/* SPDX-License-Identifier: MIT */
/* thread.h: registers the threads of the host and ends them; what the poller does for all of them.
 *
 * The state of a thread: base/thread_state.h. The registry lock orders attach, end and the poller. Neither hooks on
 * their steady path nor the handler take it.
 *
 * Context: said at each function.
 */
#ifndef GP_THREAD_H
#define GP_THREAD_H

#include "shim/base/thread_state.h"

/* The end of the last thread that had an id. The kernel may list that thread for a while longer. */
struct gp_ended
{
  pid_t tid;
  uint64_t cpu_ns; /* UINT64_MAX: it vanished */
  uint64_t ns;     /* CLOCK_BOOTTIME */
};

/* Lifecycle, once, on the thread that makes the tracer. Returns an errno or 0. */
GP_INTERNAL int gp_threads_init (void);

/* Poller: registers threads that did not attach themselves, ends those that vanished. before: the label of the CPU time
 * that new ones have used so far. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_poll (uint32_t before);

/* Poller: publishes the accounts of every thread, reopens events that were lost, and enables events that should not
 * rest. names: also reads the threads' names anew. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_publish (bool names);

/* Poller: disarms all threads, later ones included, or arms them again. The handler may still be running on some.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_disarm (void);
GP_INTERNAL void gp_threads_arm (void);

/* Attaches the calling thread, and returns its state: a new one or, where the poller found the thread first, that one.
 * base: its label outside of every entry; before: the label of the CPU time that it has used so far; root: the frame
 * that called its function, or NULL. Returns NULL where no slot was free. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL struct gp_thread *gp_thread_attach (uint32_t base, uint32_t before, const struct gp_boundary *root);

/* Poller, thread_stacks.c: finds the stacks of threads whose own is not known. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_find_stacks (void);

/* Between thread.c, thread_slots.c and thread_poll.c. All require the registry lock. take_slot: a slot that is filled
 * in but not ready, or NULL. end_slot: own = false is for a thread that vanished. find_tid: the live thread of the id.
 * find_ended: how the last thread of the id ended, NULL: not known; note_end records it. index_tid adds the slot to the
 * list of a thread id. */
extern GP_INTERNAL uint32_t g_pass; /* the poller's current one */
GP_INTERNAL struct gp_thread *gp_thread_take_slot (pid_t tid, clockid_t clock, uint32_t base);
GP_INTERNAL struct gp_thread *gp_thread_find_tid (pid_t tid);
GP_INTERNAL const struct gp_ended *gp_thread_find_ended (pid_t tid);
GP_INTERNAL void gp_thread_note_end (pid_t tid, uint64_t cpu_ns, uint64_t ns);
GP_INTERNAL void gp_thread_index_tid (struct gp_thread *thread, pid_t tid);
GP_INTERNAL void gp_thread_end_slot (struct gp_thread *thread, bool own);

/* As gp_threads_init(), which calls it. */
GP_INTERNAL int gp_thread_slots_init (void);

#endif
