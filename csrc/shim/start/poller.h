/* SPDX-License-Identifier: MIT */
/* poller.h: the shim's own thread in the host, "gst-pyro". It does what needs no thread of the host.
 *
 * Its states:
 *
 *   start      starts an agent where none has taken the segment (home/home.h)
 *   profile    ten times a second, and at once when the agent asks: finds threads and modules that no redirected call
 *              has shown, checks that the sampling signal still is ours, publishes all accounts, passes the agent's log
 *              lines to GStreamer's log. A host that dies by SIGKILL thus loses a tenth of a second at most.
 *              Once a host has used less than 0.2 % of a processor for a second, it rests: two seconds a round. A
 * sample, a new thread, a library that is loaded, the agent and the end of the host wake it. Left when gp_stop() was
 * called, or when the agent has refused or ended. publish    the same once more; pyroscope-io's last push (300 ms at
 * most); then profiling stops, and the agent is woken: host_state is STOPPING, or INERT where there is no agent any
 * more deliver    passes log lines on until the agent is done, or its process has ended. No limit: the host's end has
 * its own (stop/stop.h) done       the thread ends
 *
 * Context: poller. The thread runs none of the host's code.
 */
#ifndef GP_POLLER_H
#define GP_POLLER_H

#include "shim/base/segment.h"

/* Starts the thread. Returns an errno or 0. */
GP_INTERNAL int gp_poller_start (void);

#endif
