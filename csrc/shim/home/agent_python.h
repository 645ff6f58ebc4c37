/* SPDX-License-Identifier: MIT */
/* agent_python.h: which Python the agent runs on, and where its library is.
 *
 * Context: poller.
 */
#ifndef GP_AGENT_PYTHON_H
#define GP_AGENT_PYTHON_H

#include <limits.h>
#include "shim/base/segment.h"

/* What the record beside the package says (gst_pyro_shim/paths.py writes it), corrected by GST_PYROSCOPE_PYTHON and by
 * a virtual environment that holds the agent's own file. Empty: not known. */
struct gp_agent_python
{
  char python[PATH_MAX];
  char libpython[PATH_MAX];
  char entries[4 * PATH_MAX]; /* of sys.path, colons between */
  char agent[PATH_MAX];
};
extern GP_INTERNAL struct gp_agent_python g_agent_python;

/* Fills it. chosen: the Python that the user names, shorter than PATH_MAX; "": none. False: there is no Python.
 * Requires: gp_modules_refresh() has run. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_agent_python_find (const char *chosen);

#endif
