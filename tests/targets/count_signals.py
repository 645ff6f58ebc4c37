# SPDX-License-Identifier: MIT
"""Says "ready", then each signal that it gets; ends with status 5, half a second behind the last.

    count_signals.py [NUMBER]    waits for so many, however long they take to come, and takes more; 1

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
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
    print(signal.sigwait(COUNTED).name, flush=True)
while (info := signal.sigtimedwait(COUNTED, 0.5)) is not None:
    print(signal.Signals(info.si_signo).name, flush=True)
sys.exit(5)
