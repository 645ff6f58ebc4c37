# SPDX-License-Identifier: MIT
"""Whether the profiled process still exists, from outside it.

Context: agent, controller.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gst_pyro_shim.segment.segment import Home


class Host:
    """Watches the profiled process. For an embedded agent, which ends with its host, the host never has ended.

    Attributes:
        home: where its agent runs.
    """

    def __init__(self, pid: int, home: Home, pidfd: int = -1) -> None:
        """Opens a pidfd where the caller has none.

        Args:
            pid: of the host, in the agent's pid namespace.
            home: where the agent runs.
            pidfd: of the host; the caller closes it. -1: none.
        """
        self.home = home
        self._pid = pid
        self._is_outside = home != "embedded"
        self._poll: select.poll | None = None
        self._ended = False
        self._own_pidfd = -1
        if self._is_outside and pidfd < 0:
            try:
                self._own_pidfd = pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._ended = True
            except OSError:  # filters of older containers forbid system calls that they do not know
                return
        if pidfd >= 0:
            self._poll = select.poll()
            self._poll.register(pidfd, select.POLLIN)

    def close(self) -> None:
        """Closes what was opened here."""
        if self._own_pidfd >= 0:
            os.close(self._own_pidfd)
            self._own_pidfd, self._poll = -1, None

    @property
    def has_ended(self) -> bool:
        """It has exited, was killed, or `has_left` was true."""
        if not self._ended and self._poll is not None:
            self._ended = bool(self._poll.poll(0))
        elif not self._ended and self._is_outside:
            self._ended = not Path(f"/proc/{self._pid}").exists()
        return self._ended

    def has_left(self) -> bool:
        """Whether it runs another program now: exec() keeps the process and unmaps our segment. Reads its maps."""
        try:
            maps = Path(f"/proc/{self._pid}/maps").read_text("utf-8", "replace")
        except PermissionError:
            return False
        except OSError:
            maps = ""
        self._ended |= "memfd:gst-pyro" not in maps
        return self._ended
