/* SPDX-License-Identifier: MIT */
/* account.h: how much CPU time a thread has spent under each label.
 *
 * The time between two switches of label is a stretch. Two clocks can measure it:
 *  - the cycle counter is cheap, but counts sleep and preemption as CPU time;
 *  - the thread's CPU clock is exact, but is a system call.
 * A short stretch is estimated by the cycle counter, since a thread hardly sleeps in so little time. A long one ends
 * with a read of the CPU clock. Each read also corrects the estimates since the one before, so that the sum of a
 * thread's accounts is its CPU time (account_clock.h). A thread that neither sleeps nor is preempted has its clock read
 * once a millisecond, however long its stretches are.
 *
 * Some short stretches do sleep: a thread that hands work to another has the result back after 20 us. Labels that do
 * this are found by measuring a few stretches of each label by the CPU clock at both ends (account_sleepers.h). Their
 * stretches are then always measured so.
 *
 * Context: hook, on the thread itself; gp_account_publish() is the poller's; nothing here is for the handler.
 */
#ifndef GP_ACCOUNT_H
#define GP_ACCOUNT_H

#include "shim/base/thread_state.h"

/* Finds the rate of the cycle counter; takes a millisecond. Called again by the poller, over an ever longer base.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_account_calibrate (void);

/* Opens the accounts of a thread that has used cpu_ns so far, all of which goes to label `before`. The thread itself
 * calls it, or the poller before it publishes the thread. Lifecycle. MT-Safe | AS-Unsafe (mmap) */
GP_INTERNAL void gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label);

/* Ends the open stretch, and begins one under label. MT-Safe | AS-Unsafe (rare mmap) */
GP_INTERNAL void gp_account_switch (struct gp_thread *thread, uint32_t label);

/* Publishes the accounts of a thread that runs on (closed_ns), its open stretch included. Nothing is closed: the thread
 * goes on with its own sums. Poller. Requires: the registry lock. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_account_publish (struct gp_thread *thread);

/* Ends the accounts, and frees the tallies. own: called by the thread itself, which reads its clock once more; else the
 * thread vanished, and what was last published counts. Requires: the registry lock. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_account_end (struct gp_thread *thread, bool own);

#endif
