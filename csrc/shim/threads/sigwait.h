/* SPDX-License-Identifier: MIT */
/* sigwait.h: keeps ticks from the host's waits for signals.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements).
 */
#ifndef GP_SIGWAIT_H
#define GP_SIGWAIT_H

#include <signal.h>
#include <time.h>
#include "shim/base/segment.h"

/* The real functions of the replacements below; set by the redirect pass. */
extern GP_INTERNAL int (*g_real_sigwait) (const sigset_t *, int *);
extern GP_INTERNAL int (*g_real_sigwaitinfo) (const sigset_t *, siginfo_t *);
extern GP_INTERNAL int (*g_real_sigtimedwait) (const sigset_t *, siginfo_t *, const struct timespec *);

/* As libc's functions of these names, but they discard ticks. Cancellation points, as those are.
 * MT-Safe | AS-Safe */
GP_INTERNAL int gp_sigwait (const sigset_t *set, int *number);
GP_INTERNAL int gp_sigwaitinfo (const sigset_t *set, siginfo_t *info);
GP_INTERNAL int gp_sigtimedwait (const sigset_t *set, siginfo_t *info, const struct timespec *timeout);

#endif
