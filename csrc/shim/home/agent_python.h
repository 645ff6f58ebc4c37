/* SPDX-License-Identifier: MIT */
/* agent_python.h: which Python the agent runs on, and where the agent's library is.
 *
 * Context: poller.
 */
#ifndef GP_AGENT_PYTHON_H
#define GP_AGENT_PYTHON_H

#include <limits.h>
#include "shim/base/segment.h"

/* From the record agent-python.txt in the package's folder, which gst_pyro_shim/paths.py writes. `python` is replaced
 * by that of the virtual environment that the agent is installed in, and by GST_PYROSCOPE_PYTHON before all. An empty
 * string: not known. */
struct gp_agent_python
{
  char python[PATH_MAX];      /* the executable */
  char libpython[PATH_MAX];   /* for an embedded agent */
  char entries[4 * PATH_MAX]; /* of sys.path, colons between */
  char agent[PATH_MAX];       /* libgstpyro-agent.so */
};
extern GP_INTERNAL struct gp_agent_python g_agent_python;

/* Fills g_agent_python. chosen: GST_PYROSCOPE_PYTHON, shorter than PATH_MAX; "": not set. False: no Python is known.
 * Requires: gp_modules_refresh() has run. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_agent_python_find (const char *chosen);

#endif
