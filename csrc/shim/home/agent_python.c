/* SPDX-License-Identifier: MIT */
/* agent_python.c: which Python the agent runs on, and where its library is.
 *
 * Context: poller.
 */
#define _GNU_SOURCE
#include "shim/home/agent_python.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "shim/modules/modules.h"

struct gp_agent_python g_agent_python;

static void
read_line (FILE *file, char *into, size_t bytes)
{
  if (file == NULL || fgets (into, (int) bytes, file) == NULL)
    into[0] = '\0';
  into[strcspn (into, "\n")] = '\0';
}

/* The package's folder: the one above the folder that this object was loaded from, symbolic links resolved. Not by
 * dladdr(), which takes the loader's lock. */
static bool
find_package (char package[PATH_MAX])
{
  const struct gp_module *ours = gp_modules_listed ((uintptr_t) gp_agent_python_find);
  if (ours == NULL || realpath (g_segment->strings + ours->path, package) == NULL)
    return false;
  for (int i = 0; i < 2; i++) {
    char *slash = strrchr (package, '/');
    if (slash == NULL)
      return false;
    *slash = '\0';
  }
  return true;
}

/* A pyvenv.cfg above the agent's library: the agent is installed in a virtual environment. Takes the Python of that. */
static void
find_environment (const char *agent)
{
  char folder[PATH_MAX], file[PATH_MAX + 32];
  snprintf (folder, sizeof folder, "%s", agent);
  for (char *slash = strrchr (folder, '/'); slash != NULL; slash = strrchr (folder, '/')) {
    *slash = '\0';
    snprintf (file, sizeof file, "%s/pyvenv.cfg", folder);
    if (access (file, R_OK) != 0)
      continue;
    snprintf (file, sizeof file, "%s/bin/python", folder);
    if (strlen (file) < sizeof g_agent_python.python)
      strcpy (g_agent_python.python, file);
    return;
  }
}

bool
gp_agent_python_find (const char *chosen)
{
  char package[PATH_MAX], record[PATH_MAX + 32];
  if (!find_package (package))
    return false;
  snprintf (record, sizeof record, "%s/agent-python.txt", package);
  FILE *file = fopen (record, "re");
  read_line (file, g_agent_python.python, sizeof g_agent_python.python);
  read_line (file, g_agent_python.libpython, sizeof g_agent_python.libpython);
  read_line (file, g_agent_python.entries, sizeof g_agent_python.entries);
  read_line (file, g_agent_python.agent, sizeof g_agent_python.agent);
  if (file != NULL)
    fclose (file);
  if (g_agent_python.agent[0] == '\0'
      && snprintf (g_agent_python.agent, sizeof g_agent_python.agent, "%s/libgstpyro-agent.so", package)
             >= (int) sizeof g_agent_python.agent)
    return false;
  find_environment (g_agent_python.agent);
  if (chosen[0] != '\0')
    strcpy (g_agent_python.python, chosen);
  return g_agent_python.python[0] != '\0';
}
