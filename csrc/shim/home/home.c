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

/* of the environment, as it was when the tracer was made */
static char g_chosen_python[PATH_MAX], g_chosen_home[16];
static int g_memory_fd;

static void
take_setting (const char *field, char *into, size_t bytes)
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

/* Pid 1 of a container, or a subreaper: the agent's process would become its child, and be seen by its waitpid(-1). */
static bool
takes_orphans (void)
{
  int reaper = 0;
  return g_segment->host_pid == 1 || (prctl (PR_GET_CHILD_SUBREAPER, &reaper) == 0 && reaper != 0);
}

void
gp_home_prepare (int memory_fd)
{
  g_memory_fd = memory_fd;
  gp_agent_process_prepare (memory_fd);
  take_setting ("python", g_chosen_python, sizeof g_chosen_python);
  take_setting ("agent", g_chosen_home, sizeof g_chosen_home);
  char folder[PATH_MAX];
  if (embedded_is_asked_for () || getcwd (folder, sizeof folder) == NULL)
    return;
  gp_handover_name (g_chosen_python, g_agent_name);
  /* Said by the poller: what the host's log functions wait for, this thread may hold. */
  gp_handover_to_agent (g_agent_name, folder, memory_fd);
}

/* libc tells an agent in here another time than the kernel, where it is faked. A Go program ends without exit handlers,
 * and an agent in it with it. */
static bool
may_be_embedded (void)
{
  return !process_is_asked_for () && !gp_clock_is_faked ();
}

static bool
is_to_be_embedded (void)
{
  return may_be_embedded ()
         && (embedded_is_asked_for ()
             || (takes_orphans () && !gp_signal_host_takes_all () && !gp_libpython_may_come ()));
}

void
gp_home_start_agent (void)
{
  if (gp_load (&g_segment->agent_home) != 0) {
    gp_gst_log (GST_LEVEL_INFO, "agent: process %d, which was there", (int) g_segment->agent_pid);
    return;
  }
  if (!gp_agent_python_find (g_chosen_python)) {
    gp_agent_refuse ("no record of a Python beside ", "libgstpyro.so");
    return;
  }
  if (is_to_be_embedded ()) {
    gp_embed (g_memory_fd);
    return;
  }
  if (!gp_agent_process_can_run ()) {
    gp_agent_refuse ("cannot run ", g_agent_python.python);
    return;
  }
  int error = gp_agent_process_start ();
  if (error != 0 && !gp_home_start_elsewhere ())
    gp_agent_refuse ("cannot fork: ", strerror (error));
}

bool
gp_home_start_elsewhere (void)
{
  return may_be_embedded () && !embedded_is_asked_for () && !gp_stop_is_wanted ()
         && gp_load (&g_segment->agent_home) == GP_HOME_PROCESS && gp_load (&g_segment->agent_state) == GP_AGENT_NONE
         && !gp_libpython_may_come () && gp_embed (g_memory_fd);
}
