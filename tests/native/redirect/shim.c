/* SPDX-License-Identifier: MIT */
/* shim.c: the smallest user of csrc/shim/redirect/redirect.h. Its replacements count, then call the real function.
 *
 * Context: test. Linked with csrc/shim/redirect/ into a library that hosts load, or that is preloaded.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "shim/calls/dlopen.h"
#include "shim/home/embed.h"
#include "shim/redirect/redirect.h"
#include "shim/redirect/redirect_walk.h"
#include "shim/modules/modules.h"

#define EXPORTED __attribute__ ((visibility ("default")))

static struct gp_segment nobody_reads;
struct gp_segment *g_segment = &nobody_reads;
_Atomic bool g_active;

static int (*real_create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);
static int (*real_answer) (int);
static void *real_join;
static _Atomic int creates, answers, closings, refreshes;

void
gp_modules_refresh (void)
{
  refreshes++;
}

void
gp_modules_close_begin (void)
{
  closings++;
}

void
gp_modules_close_end (void)
{
}

void
gp_embed_before_dlopen (const char *library)
{
  (void) library;
}

static int
count_create (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  creates++;
  if (gp_redirect_pending ())
    gp_redirect_pass ();
  return __atomic_load_n (&real_create, __ATOMIC_RELAXED) (id, attr, function, argument);
}

static int
count_answer (int question)
{
  answers++;
  return __atomic_load_n (&real_answer, __ATOMIC_RELAXED) (question);
}

EXPORTED void
shim_start (void)
{
  static const struct gp_redirect table[] = {
    { "dlopen", (void *) gp_redirect_dlopen, &g_real_dlopen, NULL },
    { "dlclose", (void *) gp_redirect_dlclose, &g_real_dlclose, NULL },
    { "pthread_create", (void *) count_create, (void **) &real_create, NULL },
    { "answer", (void *) count_answer, (void **) &real_answer, NULL },
    { "pthread_join", NULL, &real_join, NULL },
  };
  gp_redirect_init (table, sizeof table / sizeof table[0]);
  gp_redirect_pass ();
  g_active = true;
}

EXPORTED void
shim_stop (void)
{
  g_active = false;
}

EXPORTED void
shim_pass (void)
{
  gp_redirect_pass ();
}

EXPORTED void
shim_settle (void)
{
  gp_redirect_settle ();
}

/* One line on stderr; the host's own output must not depend on us. */
EXPORTED void
shim_note (const char *point)
{
  fprintf (stderr, "%s creates=%d answers=%d closings=%d refreshes=%d pending=%d modules=%u slots=%u real=%p\n", point,
      creates, answers, closings, refreshes, gp_redirect_pending (), gp_redirect_modules (), gp_redirect_slots (),
      (void *) real_create);
}
