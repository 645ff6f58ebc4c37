/* SPDX-License-Identifier: MIT */
/* thread_state.c: the data of thread_state.h.
 *
 * Context: data, read in every context. threads/ fills it.
 */
#include "shim/base/thread_state.h"

#if defined(GP_DEBUG)
#include <stdlib.h>
#include <string.h>
#endif

/* For a thread that sees g_active before it sees what threads/ has set. */
static struct gp_thread *
attach_none (void)
{
  return NULL;
}

struct gp_thread *g_threads;
uint16_t *g_perf_slots;
__thread struct gp_thread *t_thread __attribute__ ((tls_model ("initial-exec")));
struct gp_thread *(*g_thread_attach_self) (void) = attach_none;
pthread_mutex_t g_registry = PTHREAD_MUTEX_INITIALIZER;

#if defined(GP_DEBUG)
void
gp_assert_not_in_signal (const char *function)
{
  static const char problem[] = "gst-pyro: called in the handler of a tick: ";
  const struct gp_thread *thread = gp_thread_known ();
  if (thread == NULL || !thread->in_handler)
    return;
  gp_write_stderr (problem, sizeof problem - 1);
  gp_write_stderr (function, strlen (function));
  gp_write_stderr ("\n", 1);
  abort ();
}
#endif
