/* SPDX-License-Identifier: MIT */
/* signal_watch.c: looks whether the signal of the ticks still is ours.
 *
 * Context: poller.
 */
#include "shim/threads/signal_watch.h"

#include "shim/threads/thread.h"
#include "shim/threads/tick_signal.h"

void
gp_signal_watch (bool window)
{
  if (g_segment->signal == 0)
    return;
  bool yield, stands = gp_signal_is_ours (&yield);
  if (yield && !g_yields) {
    gp_threads_disarm ();
    atomic_store (&g_yields, true);
  }
  /* What stands is the host's; another signal may still be free. */
  if (yield && gp_signal_take ()) {
    if (!gp_signal_is_harmless ((int) g_segment->signal))
      gp_store (&g_segment->clock, GP_CLOCK_TIMER);
    stands = true;
    yield = false;
  }
  /* Given back by a host that resets all there are: the next tick would end it. */
  if (!stands && !yield && !gp_signal_is_harmless ((int) g_segment->signal))
    stands = gp_signal_take_again ();
  if (window && !stands)
    gp_count (GP_COUNTER_SIGNAL_TAKEN);
  if (!yield && g_yields) {
    gp_threads_arm ();
    atomic_store (&g_yields, false);
  }
}
