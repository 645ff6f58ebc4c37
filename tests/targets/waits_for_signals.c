/* SPDX-License-Identifier: MIT */
/* waits_for_signals.c: a C host that has all signals blocked, works for a while, and waits for any of them, by the
 * function that argv[1] names. It prints what it is handed: two that it sent itself, then none.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <gst/gst.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void
work (void)
{
  struct timespec start, now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &start);
  do
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 200);
}

static int
wait_for (const char *function, const sigset_t *set)
{
  const struct timespec tenth = { .tv_nsec = 100000000 };
  int number = 0;
  siginfo_t info = { 0 };
  if (strcmp (function, "sigwait") == 0)
    return sigwait (set, &number) == 0 ? number : -1;
  if (strcmp (function, "sigwaitinfo") == 0)
    number = sigwaitinfo (set, &info);
  else
    number = sigtimedwait (set, &info, &tenth);
  return number == info.si_signo && info.si_pid == getpid () ? number : -1;
}

int
main (int argc, char **argv)
{
  const struct timespec tenth = { .tv_nsec = 100000000 };
  sigset_t all;
  sigfillset (&all);
  sigprocmask (SIG_BLOCK, &all, NULL);
  sigdelset (&all, SIGCHLD); /* GStreamer's plugin scanner, where there is no registry yet */
  gst_init (&argc, &argv);
  work ();
  kill (getpid (), SIGUSR2);
  kill (getpid (), SIGPWR);
  for (int number = 0; number != SIGPWR && number >= 0;)
    printf ("%d\n", number = wait_for (argv[1], &all));
  work ();
  printf ("%s\n", sigtimedwait (&all, NULL, &tenth) < 0 && errno == EAGAIN ? "none" : "one more");
  return 5;
}
