/* SPDX-License-Identifier: MIT */
/* thread_state.c: where the states of threads are found.
 *
 * Context: data, read in every context. threads/ fills it.
 */
#include "shim/base/thread_state.h"

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
