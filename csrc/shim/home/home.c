/* SPDX-License-Identifier: MIT */
/* home.c: which home the agent gets.
 *
 * Context: poller; gp_home_prepare() is lifecycle.
 */
#define _GNU_SOURCE
#include "shim/home/home.h"

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "shim/base/clock.h"
#include "shim/base/gst_api.h"
#include "shim/base/settings.h"
#include "shim/home/agent_process.h"
#include "shim/home/agent_python.h"
#include "shim/home/embed.h"
#include "shim/home/handover.h"
#include "shim/home/libpython.h"
#include "shim/stop/stop.h"
#include "shim/threads/tick_signal.h"

/* Settings, as they were when the tracer was made; "": not set. */
static char g_chosen_python[PATH_MAX], g_chosen_home[16];

static void
copy_setting (const char *field, char *into, size_t bytes)
{
  const char *text = gp_settings_get (field);
  if (text != NULL && strlen (text) < bytes)
    strcpy (into, text);
}

static bool
embedded_is_asked_for (void)
{
  return strcmp (g_chosen_home, "embedded") == 0;
}

static bool
process_is_asked_for (void)
{
  return strcmp (g_chosen_home, "process") == 0;
}

/* Pid 1 of a container, and a subreaper: the agent's process would become the host's child, and its waitpid(-1) would
 * see it. */
static bool
adopts_orphans (void)
{
  int reaper = 0;
  return g_segment->host_pid == 1 || (prctl (PR_GET_CHILD_SUBREAPER, &reaper) == 0 && reaper != 0);
}

void
gp_home_prepare (int memory_fd)
{
  gp_agent_process_prepare (memory_fd);
  copy_setting ("python", g_chosen_python, sizeof g_chosen_python);
  copy_setting ("agent", g_chosen_home, sizeof g_chosen_home);
  char folder[PATH_MAX];
  if (embedded_is_asked_for () || getcwd (folder, sizeof folder) == NULL)
    return;
  gp_handover_name (g_chosen_python, g_agent_name);
  /* The poller logs whether it succeeded: the host's log functions may wait for a lock that this thread holds. */
  gp_handover_to_agent (g_agent_name, folder, memory_fd);
}

/* Where a preload fakes libc's clocks, an embedded Python would wait by another time than the kernel's. */
static bool
may_be_embedded (void)
{
  return !process_is_asked_for () && !gp_clock_is_faked ();
}

/* Without being asked for, only where a process would disturb the host. Not in a Go program: it ends without exit
 * handlers, so an embedded agent could not deliver. */
static bool
is_to_be_embedded (void)
{
  return may_be_embedded ()
         && (embedded_is_asked_for ()
             || (adopts_orphans () && !gp_signal_host_takes_all () && !gp_libpython_may_come ()));
}

void
gp_home_start_agent (void)
{
  if (gp_load (&g_segment->agent_home) != 0) {
    gp_gst_log (GST_LEVEL_INFO, "agent: process %d, which runs already", (int) g_segment->agent_pid);
    return;
  }
  if (!gp_agent_python_find (g_chosen_python)) {
    gp_agent_refuse ("no record of a Python beside ", "libgstpyro.so", GP_AGENT_HINT_PYTHON);
    return;
  }
  if (is_to_be_embedded ()) {
    gp_embed ();
    return;
  }
  if (!gp_agent_process_can_run ()) {
    gp_agent_refuse ("cannot run ", g_agent_python.python, GP_AGENT_HINT_PYTHON);
    return;
  }
  int error = gp_agent_process_start ();
  if (error != 0 && !gp_home_start_elsewhere ())
    gp_agent_refuse ("cannot fork: ", strerror (error), GP_AGENT_HINT_LIMITS);
}

bool
gp_home_start_elsewhere (void)
{
  return may_be_embedded () && !embedded_is_asked_for () && !gp_stop_is_wanted ()
         && gp_load (&g_segment->agent_home) == GP_HOME_PROCESS && gp_load (&g_segment->agent_state) == GP_AGENT_NONE
         && !gp_libpython_may_come () && gp_embed ();
}
