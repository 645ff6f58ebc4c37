/* SPDX-License-Identifier: MIT */
/* handover.h: hands the segment to an agent that runs already.
 *
 * Both kinds of agent listen on a unix socket (SOCK_SEQPACKET) in the abstract namespace:
 *   the controller   at the name in GST_PYROSCOPE_CONTROLLER, which `run` sets to "NAME TOKEN"
 *   a process        that an earlier host has started, at a name that hosts of the same user in the same place compute
 *                    alike (gp_handover_name())
 *
 * The shim sends one message: the token, or for a process the folder that the host is in; then each variable of the
 * environment that begins with GST_PYROSCOPE_; a NUL after each. The descriptors of the segment and, where it is open,
 * of stderr go with it. gst_pyro_shim/agent/reception.py reads it.
 *
 * Context: lifecycle.
 */
#ifndef GP_HANDOVER_H
#define GP_HANDOVER_H

#include "shim/base/segment.h"

enum
{
  GP_HANDOVER_NAME = 108 /* bytes of a name, with its NUL */
};

enum gp_handover
{
  GP_HANDOVER_NONE,   /* no controller is named */
  GP_HANDOVER_TAKEN,  /* agent_home and agent_pid are set */
  GP_HANDOVER_GONE,   /* the controller has ended */
  GP_HANDOVER_REFUSED /* the controller may live, and cannot be reached: *why is an errno */
};

/* To the controller. Does not wait. MT-Unsafe env | AS-Unsafe heap */
GP_INTERNAL enum gp_handover gp_handover_to_controller (int memory_fd, int *why);

/* To an agent's process that listens at name. folder: that this process is in. False: no agent listens there, or it
 * cannot be reached. Does not wait. MT-Unsafe env | AS-Unsafe heap */
GP_INTERNAL bool gp_handover_to_agent (const char *name, const char *folder, int memory_fd);

/* The name for an agent of this user in this place: the same namespaces, root folder and cgroup (whose processes may be
 * ended together), the same Python, the same values of the variables that an agent's Python depends on.
 * MT-Unsafe env | AS-Unsafe */
GP_INTERNAL void gp_handover_name (const char *python, char into[GP_HANDOVER_NAME]);

#endif
