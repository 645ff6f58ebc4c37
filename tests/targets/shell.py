# SPDX-License-Identifier: MIT
"""As much of an interactive shell as job control takes: runs one command in the foreground of the
terminal, says when it stops, brings it back, says how it ended.

Context: tests, as the leader of a terminal's session.
"""

import os
import signal
import sys

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.posix_spawn(
    sys.argv[1], sys.argv[1:], os.environ, setpgroup=0, setsigdef=[signal.SIGTTOU, signal.SIGINT]
)
os.tcsetpgrp(0, pid)
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    print("stopped", flush=True)
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
print("ended", os.waitstatus_to_exitcode(status), flush=True)
