/* SPDX-License-Identifier: MIT */
/* sigwait.h: the host's waits for signals do not see ticks.
 *
 * Context: lifecycle, on the host's threads (import-slot replacements).
 */
#ifndef GP_SIGWAIT_H
#define GP_SIGWAIT_H

#include <signal.h>
#include <time.h>
#include "shim/base/segment.h"

/* What the replacements below stand for; set by redirect.c. */
extern GP_INTERNAL int (*g_real_sigwait) (const sigset_t *, int *);
extern GP_INTERNAL int (*g_real_sigwaitinfo) (const sigset_t *, siginfo_t *);
extern GP_INTERNAL int (*g_real_sigtimedwait) (const sigset_t *, siginfo_t *, const struct timespec *);

/* As the functions of libc of these names, but for ticks: they are taken and not told. Cancellation points, as those.
 * MT-Safe | AS-Safe */
GP_INTERNAL int gp_sigwait (const sigset_t *set, int *number);
GP_INTERNAL int gp_sigwaitinfo (const sigset_t *set, siginfo_t *info);
GP_INTERNAL int gp_sigtimedwait (const sigset_t *set, siginfo_t *info, const struct timespec *timeout);

#endif
