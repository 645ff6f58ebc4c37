/* SPDX-License-Identifier: MIT */
/* embed.c: the agent on a thread of this process, and how it makes way for a Python of the host's.
 *
 * Hazard: two interpreters in one process. To ask whether there is an interpreter and then to act on the answer is a
 * race. So one compare-and-swap of g_embed decides which comes first, the agent's or the host's; and the redirected
 * dlopen() does not load a library that needs a libpython before an interpreter of ours is finalized.
 *
 * Context: poller, and the agent's own thread; gp_embed_before_dlopen() is lifecycle, on the host's threads.
 */
#define _GNU_SOURCE
#include "shim/home/embed.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "shim/base/gst_api.h"
#include "shim/home/agent_process.h"
#include "shim/home/agent_python.h"
#include "shim/home/libpython.h"
#include "shim/stop/stop.h"
#include "shim/threads/own_thread.h"

enum
{
  REST_MS = 60000,
  MAKE_WAY_MS = 10000 /* for an interpreter to start, on a busy machine, and to be finalized */
};

enum embed
{
  EMBED_NOT_BEGUN,
  EMBED_BEGUN,
  EMBED_FORBIDDEN /* the host's Python came first */
};

static uint32_t g_embed;                   /* enum embed */
static uint32_t g_end_wanted, g_finalized; /* futexes: the interpreter is to go, and is gone */
static void (*g_agent_finalize) (void);

/* Runs the agent to its end. False: it cannot be embedded, and why is in *why. */
static bool
run_embedded (char why[PATH_MAX])
{
  /* A dlopen() of the host that began before gp_embed_before_dlopen() checked for libpythons may still be loading one.
   * To take the loader's lock waits for it: the library is in the list of modules then. */
  void *libc = dlopen ("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (libc != NULL)
    dlclose (libc);
  if (gp_libpython_is_loaded ()) {
    strcpy (why, "the program has a Python of its own");
    return false;
  }
  /* Global: extension modules resolve Python's API in the global scope. */
  if (g_agent_python.libpython[0] != '\0')
    dlopen (g_agent_python.libpython, RTLD_NOW | RTLD_GLOBAL);
  void *library = dlopen (g_agent_python.agent, RTLD_NOW | RTLD_GLOBAL);
  int (*agent_main) (int, const char *, const char *, char *, unsigned long) = NULL;
  if (library == NULL) {
    const char *error = dlerror ();
    snprintf (why, PATH_MAX, "%s", error != NULL ? error : g_agent_python.agent);
  } else {
    *(void **) &agent_main = dlsym (library, "gp_agent_main");
    *(void **) &g_agent_finalize = dlsym (library, "gp_agent_finalize");
  }
  /* Success is 1: cffi returns 0 where its Python code fails. */
  return agent_main != NULL
         && agent_main (g_memory_fd, g_agent_python.python, g_agent_python.entries, why, PATH_MAX) == 1;
}

/* The agent's thread in the embedded home. It outlives the agent: it finalizes the interpreter once that is in the way
 * of the host's. */
static void *
embedded_main (void *unused)
{
  (void) unused;
  char why[PATH_MAX] = "";
  uint32_t none = EMBED_NOT_BEGUN;
  bool begins = __atomic_compare_exchange_n (&g_embed, &none, EMBED_BEGUN, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  if (!begins)
    strcpy (why, "the program brings a Python of its own");
  if ((!begins || !run_embedded (why)) && gp_load (&g_segment->agent_state) == GP_AGENT_NONE
      && gp_load (&g_end_wanted) == 0) {
    gp_gst_log (GST_LEVEL_WARNING, "the agent cannot be embedded (%s): it gets a process of its own", why);
    int error = gp_agent_process_start ();
    if (error != 0)
      gp_agent_refuse ("cannot fork: ", strerror (error), GP_AGENT_HINT_LIMITS);
  }
  /* An agent that could not map the segment, whose descriptor the host may have closed, cannot set the state itself. */
  none = GP_AGENT_NONE;
  if (gp_load (&g_segment->agent_home) == GP_HOME_EMBEDDED
      && __atomic_compare_exchange_n (
          &g_segment->agent_state, &none, GP_AGENT_REFUSED, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
    gp_futex_signal (&g_segment->poll);
  while (gp_load_acquire (&g_end_wanted) == 0)
    gp_futex_wait (&g_end_wanted, 0, REST_MS);
  if (g_agent_finalize != NULL)
    g_agent_finalize ();
  gp_futex_signal (&g_finalized);
  return NULL;
}

void
gp_embed_before_dlopen (const char *library)
{
  if (gp_load (&g_segment->agent_home) != GP_HOME_EMBEDDED || gp_load_acquire (&g_finalized) != 0
      || !gp_libpython_comes_with (library))
    return;
  int error = errno;
  uint32_t none = EMBED_NOT_BEGUN;
  if (__atomic_compare_exchange_n (&g_embed, &none, EMBED_FORBIDDEN, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
      || none == EMBED_FORBIDDEN) {
    errno = error;
    return; /* no interpreter of ours was started: the agent gets a process */
  }
  if (__atomic_fetch_add (&g_end_wanted, 1, __ATOMIC_ACQ_REL) == 0)
    gp_say (
        "the program brings a Python of its own: the agent in it makes way, and nothing more is profiled. Leave out "
        "GST_PYROSCOPE_AGENT=embedded: the agent then is a process beside the program, and profiling goes on");
  gp_stop_to_make_way ();
  gp_futex_signal (&g_end_wanted);
  uint64_t end = gp_clock_ns (CLOCK_MONOTONIC) + MAKE_WAY_MS * 1000000ull;
  while (gp_load_acquire (&g_finalized) == 0 && gp_clock_ns (CLOCK_MONOTONIC) < end)
    gp_futex_wait (&g_finalized, 0, 100);
  errno = error;
}

bool
gp_embed (void)
{
  g_segment->agent_pid = 0;
  gp_store (&g_segment->agent_home, GP_HOME_EMBEDDED);
  gp_gst_log (GST_LEVEL_INFO, "agent: embedded, %s", g_agent_python.agent);
  int error = gp_own_thread_start (embedded_main, NULL, "gst-pyro-agent");
  if (error != 0)
    gp_agent_refuse ("no thread: ", strerror (error), GP_AGENT_HINT_LIMITS);
  else
    gp_stop_agent_embedded ();
  return error == 0;
}
