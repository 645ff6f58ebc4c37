/* SPDX-License-Identifier: MIT */
/* signal_watch.h: looks whether the signal of the ticks still is ours.
 *
 * Context: poller.
 */
#ifndef GP_SIGNAL_WATCH_H
#define GP_SIGNAL_WATCH_H

#include <stdbool.h>
#include "shim/base/segment.h"

/* Poller: where a handler of the host's stands in the place of ours, the other signal is taken. Where that is the
 * host's too, nobody is armed, for it would get our ticks; window: counts that. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_signal_watch (bool window);

#endif
