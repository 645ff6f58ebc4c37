/* SPDX-License-Identifier: MIT */
/* pyroscope_io.h: pyroscope-io in the host's interpreter.
 *
 * Context: poller.
 */
#ifndef GP_PYROSCOPE_IO_H
#define GP_PYROSCOPE_IO_H

#include "shim/base/segment.h"

/* Once a thread of the host has entered Python, starts the thread that runs pyroscope-io.
 * MT-Unsafe | AS-Unsafe lock heap */
GP_INTERNAL void gp_python_poll (void);

/* Has pyroscope-io make its last push, and waits for it, 300 ms at most. MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL void gp_python_stop (void);

#endif
