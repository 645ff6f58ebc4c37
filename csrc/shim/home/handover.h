/* SPDX-License-Identifier: MIT */
/* handover.h: gives the segment to an agent that runs already.
 *
 * `run` listens on a socket in the abstract namespace: its name and a token stand in GST_PYROSCOPE_CONTROLLER. So does
 * an agent that an earlier host has started, under a name that hosts of the same user in the same place make alike. One
 * message goes there, SOCK_SEQPACKET: a word, then each variable that begins with GST_PYROSCOPE_, NUL behind each; with
 * it the descriptors of the segment and, where it is open, of stderr. gst_pyro_shim/agent/reception.py reads it.
 *
 * Context: lifecycle.
 */
#ifndef GP_HANDOVER_H
#define GP_HANDOVER_H

#include "shim/base/segment.h"

enum
{
  GP_HANDOVER_NAME = 108 /* bytes of a name, the NUL behind it included */
};

enum gp_handover
{
  GP_HANDOVER_NONE,   /* no controller is named */
  GP_HANDOVER_TAKEN,  /* agent_home and agent_pid are set */
  GP_HANDOVER_GONE,   /* nobody listens there any more */
  GP_HANDOVER_REFUSED /* there is one, or may be one, and it cannot be reached: *why is an errno */
};

/* To the controller. Waits for nobody. MT-Unsafe env | AS-Unsafe heap */
GP_INTERNAL enum gp_handover gp_handover_to_controller (int memory_fd, int *why);

/* To an agent that listens at name. word: what it wants to know, the folder that this process is in. False: there is
 * none, or none that can be had. Waits for nobody. MT-Unsafe env | AS-Unsafe heap */
GP_INTERNAL bool gp_handover_to_agent (const char *name, const char *word, int memory_fd);

/* The name for an agent of this user's, in this place: the same namespaces, the same group of processes to end at once,
 * the same variables that matter to a Python, the same Python. MT-Unsafe env | AS-Unsafe */
GP_INTERNAL void gp_handover_name (const char *python, char into[GP_HANDOVER_NAME]);

#endif
