/* SPDX-License-Identifier: MIT */
/* thread.h: what we keep for each thread of the host, and how threads come under our eyes.
 *
 * One struct gp_thread a thread, out of one fixed array; its index is the thread's slot in the segment. A thread finds
 * its own through one initial-exec TLS pointer (a plugin loaded late has little static TLS). The registry lock orders
 * attach, detach and the poller; hooks and handler never take it.
 *
 * Context: said at each function.
 */
#ifndef GP_THREAD_H
#define GP_THREAD_H

#include "shim/base/thread_state.h"

/* The last thread with an id that has ended, which may be in the kernel's list for a while. */
struct gp_ended
{
  pid_t tid;
  uint64_t cpu_ns; /* UINT64_MAX: it vanished */
  uint64_t ns;     /* CLOCK_BOOTTIME */
};

/* Lifecycle, once, on the thread that makes the tracer. Returns an errno or 0. */
GP_INTERNAL int gp_threads_init (void);

/* Poller: takes in threads that came behind our back, ends those that vanished. before: what the CPU of new ones so
 * far is labelled. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_poll (uint32_t before);

/* Poller: closes the accounts of every thread, renews events that were lost, and wakes those that rest in vain. names:
 * reads their names anew too. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_publish (bool names);

/* Poller: disarms all threads and those to come, or arms them again. The handler may still run on some.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_disarm (void);
GP_INTERNAL void gp_threads_arm (void);

/* The calling thread's state, newly made or, where the poller found it first, taken over. base: its label outside every
 * entry; before: what its CPU so far is labelled; root: the frame that called its function, or NULL. NULL: no slot was
 * free. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL struct gp_thread *gp_thread_attach (uint32_t base, uint32_t before, const struct gp_boundary *root);

/* Poller, thread_stacks.c: finds the stacks of threads whose own is not known. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_learn_stacks (void);

/* Between thread.c, thread_slots.c, thread_poll.c and account_table.c. All but the lock itself require it. take_slot
 * returns a slot filled in but not ready, or NULL; end_slot with own = false is for a thread that vanished. find_tid:
 * alive; find_ended: how the last one with the id ended here, NULL: not known; note_end: remembers it. index_tid files
 * the slot under a thread id. */
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
