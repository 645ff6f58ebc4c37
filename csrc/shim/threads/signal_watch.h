/* SPDX-License-Identifier: MIT */
/* signal_watch.h: checks that the signal of the ticks still has our handler.
 *
 * Context: poller.
 */
#ifndef GP_SIGNAL_WATCH_H
#define GP_SIGNAL_WATCH_H

#include <stdbool.h>
#include "shim/base/segment.h"

/* Where the host has set a handler of its own, takes another signal. Where none is free, disarms all threads until one
 * is, for the host's handler would get our ticks. window: a window has ended, for which a lost signal is counted.
 * Poller. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_signal_watch (bool window);

#endif
