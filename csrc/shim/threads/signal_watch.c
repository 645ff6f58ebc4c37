/* SPDX-License-Identifier: MIT */
/* signal_watch.c: checks that the signal of the ticks still has our handler.
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
  bool is_hosts, is_ours = gp_signal_is_ours (&is_hosts);
  if (is_hosts && !g_yields) {
    gp_threads_disarm ();
    atomic_store (&g_yields, true);
  }
  /* The host has this signal. Another one may be free. */
  if (is_hosts && gp_signal_take ()) {
    if (!gp_signal_is_harmless ((int) g_segment->signal))
      gp_store (&g_segment->clock, GP_CLOCK_TIMER);
    is_ours = true;
    is_hosts = false;
  }
  /* The host has reset all its signals to their defaults: by that of a real-time signal the next tick would end it. */
  if (!is_ours && !is_hosts && !gp_signal_is_harmless ((int) g_segment->signal))
    is_ours = gp_signal_take_again ();
  if (window && !is_ours)
    gp_count (GP_COUNTER_SIGNAL_TAKEN);
  if (!is_hosts && g_yields) {
    gp_threads_arm ();
    atomic_store (&g_yields, false);
  }
}
