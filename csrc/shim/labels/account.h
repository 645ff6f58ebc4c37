/* SPDX-License-Identifier: MIT */
/* account.h: how much CPU a thread has spent under each label.
 *
 * The stretch behind a switch of label is closed by the cycle counter where it is short, for then the thread has hardly
 * slept in it, and by the thread's CPU clock (a system call) where it is long. Each such read corrects the short
 * stretches since the one before, so that the sum of a thread's accounts is its CPU time. A thread that neither sleeps
 * nor is preempted has its clock read once a millisecond, whatever the length of its stretches.
 *
 * Some short stretches do sleep: a thread that hands work to another and has it back in 20 us. Which labels sleep in
 * them is found by measuring a few stretches of each label by the clock alone, at both ends; those that do are always
 * measured so.
 *
 * Context: hook, on the thread itself; gp_account_publish() is the poller's; nothing here is for the handler.
 */
#ifndef GP_ACCOUNT_H
#define GP_ACCOUNT_H

#include "shim/base/thread_state.h"

/* Finds the rate of the cycle counter; takes a millisecond. Called again by the poller, over an ever longer base.
 * MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_account_calibrate (void);

/* Opens the accounts of a thread that has used cpu_ns so far, of which all before goes to label `before`.
 * Lifecycle; the thread itself, or the poller before it publishes the thread. MT-Safe | AS-Unsafe (mmap) */
GP_INTERNAL void gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label);

/* Closes the stretch behind and goes on under label. MT-Safe | AS-Unsafe (rare mmap) */
GP_INTERNAL void gp_account_switch (struct gp_thread *thread, uint32_t label);

/* From outside: publishes closed_ns of the thread's accounts, open stretch included. cpu_ns is the thread's clock now.
 * Requires: the registry lock. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_account_publish (struct gp_thread *thread);

/* The last close, by the thread itself or, with own = false, for one that vanished; marks its accounts ended and frees
 * the tallies. Requires: the registry lock. MT-Safe | AS-Unsafe */
GP_INTERNAL void gp_account_end (struct gp_thread *thread, bool own);

#endif
