# SPDX-License-Identifier: MIT
"""Says "ready", then which signals it got within half a second of the first; ends with status 5.

Blocked signals coalesce, so each is taken at once and a second one of the same number counts.

Context: tests, as a target of `run`.
"""

import signal
import sys

COUNTED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}

signal.pthread_sigmask(signal.SIG_BLOCK, COUNTED)
print("ready", flush=True)
got = [signal.sigwait(COUNTED)]
while (info := signal.sigtimedwait(COUNTED, 0.5)) is not None:
    got.append(signal.Signals(info.si_signo))
print(*(one.name for one in got), flush=True)
sys.exit(5)
