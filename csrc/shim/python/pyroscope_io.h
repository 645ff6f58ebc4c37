/* SPDX-License-Identifier: MIT */
/* pyroscope_io.h: pyroscope-io in the host's interpreter.
 *
 * Context: poller.
 */
#ifndef GP_PYROSCOPE_IO_H
#define GP_PYROSCOPE_IO_H

#include "shim/base/segment.h"

/* Once a thread of the host has entered Python, starts the thread that brings pyroscope-io up.
 * MT-Unsafe | AS-Unsafe lock heap */
GP_INTERNAL void gp_python_poll (void);

/* Has pyroscope-io push what it holds, and waits for it. MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL void gp_python_stop (void);

#endif
