/* SPDX-License-Identifier: MIT */
/* own_thread.c: starts the shim's own threads.
 *
 * Context: lifecycle and poller.
 */
#define _GNU_SOURCE
#include "shim/threads/own_thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "shim/labels/label.h"
#include "shim/threads/thread.h"

enum
{
  /* glibc's default. A host may have set a smaller one than libdw or Python needs, or the host's own log functions,
   * which our poller calls. */
  OWN_STACK_BYTES = 8 << 20
};

struct own_thread
{
  void *(*function) (void *);
  void *argument;
  char name[GP_COMM];
};

/* With the real-time priority of its host the agent could keep the host's threads waiting. */
static void
leave_real_time (void)
{
  int policy = sched_getscheduler (0) & ~SCHED_RESET_ON_FORK;
  if (policy == SCHED_FIFO || policy == SCHED_RR)
    sched_setscheduler (0, SCHED_OTHER, &(struct sched_param) { .sched_priority = 0 });
}

static void *
own_main (void *data)
{
  struct own_thread own = *(struct own_thread *) data;
  free (data);
  leave_real_time ();
  pthread_setname_np (pthread_self (), own.name);
  uint32_t label = gp_label_fixed (GP_LABEL_AGENT);
  struct gp_boundary root = GP_CALLER (label);
  gp_thread_attach (label, label, &root);
  void *result = own.function (own.argument);
  __asm__ volatile (""); /* not a tail call, as in the trampoline */
  return result;
}

int
gp_own_thread_start (void *(*function) (void *), void *argument, const char *name)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct own_thread *own = calloc (1, sizeof *own);
  if (own == NULL)
    return ENOMEM;
  own->function = function;
  own->argument = argument;
  strncpy (own->name, name, sizeof own->name - 1);
  /* The host's signals are for the host's threads. The sampling signal is not blocked: our own threads are sampled too.
   */
  sigset_t blocked, before;
  sigfillset (&blocked);
  if (g_segment->signal != 0)
    sigdelset (&blocked, (int) g_segment->signal);
  pthread_sigmask (SIG_SETMASK, &blocked, &before);
  pthread_t id;
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize (&attr, OWN_STACK_BYTES);
  int error = pthread_create (&id, &attr, own_main, own);
  pthread_attr_destroy (&attr);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  if (error != 0)
    free (own);
  return error;
}
