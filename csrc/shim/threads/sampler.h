/* SPDX-License-Identifier: MIT */
/* clang-format off */
/* sampler.h: the ticks of each thread: a CPU timer and, where the kernel allows it, a perf task-clock event.
 *
 * The event does not wait for the kernel's tick, and counts user code alone. The timer costs less, but its ticks come
 * with the kernel's. What each clock of a thread samples, and who changes it:
 *
 *   +---------+  arm: event opened   +------------------------+  choose_clock: 8 samples  +------------------------+
 *   |         |--------------------->| EVENT AND TIMER        |  in a row without a sleep | EVENT RESTS            |
 *   |         |                      | event: user code       |-------------------------->| event: disabled        |
 *   | UNARMED |                      | timer: kernel          |<--------------------------| timer: user and kernel |
 *   |         |                      +------------------------+  choose_clock: it slept;  +------------------------+
 *   |         |                        ^          |              wake: it used less than    |           |
 *   |         |                        |          |              7/8 of a processor         |           |
 *   |         |                        +----------|----------- renew: another opened -------+           |
 *   |         |                                   | renew: none opened                                  |
 *   |         |  arm: no event       +------------v-----------+                                         |
 *   |         |--------------------->| TIMER ONLY             |<------------ renew: none opened --------+
 *   +---------+                      | timer: user and kernel |
 *        ^                           +------------------------+
 *        +--- disarm: from each of the three
 *
 * | who                  | context   | when                                                                        |
 * | -------------------- | --------- | --------------------------------------------------------------------------- |
 * | gp_sampler_arm()     | lifecycle | a thread attaches itself                                                    |
 * |                      | poller    | it finds a thread; gp_signal_watch() has a signal again                     |
 * | gp_sampler_disarm()  | lifecycle | the thread ends                                                             |
 * |                      | poller    | a thread has vanished; the stop; gp_signal_watch() lost the signal          |
 * | choose_clock()       | signal    | each sample, on the thread itself (signal/handler.c)                        |
 * | gp_sampler_wake()    | poller    | it publishes the thread's accounts, 50 ms or more after the last check      |
 * | gp_sampler_renew()   | poller    | it publishes the thread's accounts, and the host closed the event           |
 *
 * An event rests only beside a timer, and only where samples are at least two of the kernel's ticks apart. The timer's
 * ticks in user code count as ticks_left_to_perf beside an event that does not rest.
 *
 * For the process, g_segment->clock says what arm may try:
 *  - PERF: events may be opened, and the signal is ignored by default. Threads get event and timer.
 *  - TIMER: the kernel allows no events, or the signal is a real-time one, which ends the process by default. An
 *    event's pending tick outlives an exec, a timer's does not: so timers only. Never goes back to PERF.
 *  - NONE: no signal was free at the start. Nobody is ever armed, and accounts go on alone.
 *
 * gp_signal_watch() (poller) finds a handler of the host's in the place of ours: it disarms all threads, takes another
 * signal, and arms them again with that. Where no other is free, all stay UNARMED until one is (g_yields).
 *
 * Context: lifecycle and poller. What a tick does: signal/handler.c. Which signal bears it: tick_signal.h.
 */
/* clang-format on */
#ifndef GP_SAMPLER_H
#define GP_SAMPLER_H

#include "shim/base/thread_state.h"

/* Takes a signal (gp_signal_take()), and finds out which clocks there are. Without a signal accounts go on alone
 * (GP_CLOCK_NONE). MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_sampler_start (uint32_t rate_hz);

/* Starts, or stops, the ticks of a thread; the caller may be any other. Idempotent. Requires: the registry lock.
 * AS-Unsafe */
GP_INTERNAL void gp_sampler_arm (struct gp_thread *thread);
GP_INTERNAL void gp_sampler_disarm (struct gp_thread *thread);

/* Opens another event for a thread whose event is lost, since the host closed all descriptors. Until then the timer's
 * ticks in user code are left to the lost event. Requires: the registry lock. AS-Unsafe */
GP_INTERNAL void gp_sampler_renew (struct gp_thread *thread);

/* Enables the event of a thread whose event rests, and which does not use a whole processor any more. Such a thread may
 * be paced by the clock that also paces the kernel's tick: then perhaps no tick ever falls into its work again, and its
 * handler would not run to find out. Requires: the registry lock. AS-Unsafe */
GP_INTERNAL void gp_sampler_wake (struct gp_thread *thread);

/* quiet: no thread is armed from now on. Requires: the registry lock. */
GP_INTERNAL void gp_sampler_set_quiet (bool quiet);

#endif
