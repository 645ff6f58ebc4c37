# SPDX-License-Identifier: MIT
"""The profiled process, as an agent outside it sees it: is it still there?

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
    """Whether the profiled process is still there.

    Attributes:
        home: of its agent.
    """

    def __init__(self, pid: int, home: Home, pidfd: int = -1) -> None:
        """Watches it where it can end without us.

        Args:
            pid: of it, as it is called here.
            home: of the agent.
            pidfd: of it, which stays the caller's; -1 where the caller has none.
        """
        self.home = home
        self._pid = pid
        self._is_beside = home != "embedded"
        self._poll: select.poll | None = None
        self._ended = False
        self._own = -1
        if self._is_beside and pidfd < 0:
            try:
                self._own = pidfd = os.pidfd_open(pid)
            except ProcessLookupError:
                self._ended = True
            except OSError:  # older containers forbid what they do not know
                return
        if pidfd >= 0:
            self._poll = select.poll()
            self._poll.register(pidfd, select.POLLIN)

    def close(self) -> None:
        """Gives back what was opened here."""
        if self._own >= 0:
            os.close(self._own)
            self._own, self._poll = -1, None

    @property
    def has_ended(self) -> bool:
        """It has exited, or was killed."""
        if not self._ended and self._poll is not None:
            self._ended = bool(self._poll.poll(0))
        elif not self._ended and self._is_beside:
            self._ended = not Path(f"/proc/{self._pid}").exists()
        return self._ended

    def has_left(self) -> bool:
        """It runs another program now: exec() leaves the process, and takes our memory out of it."""
        try:
            maps = Path(f"/proc/{self._pid}/maps").read_text("utf-8", "replace")
        except PermissionError:
            return False
        except OSError:
            maps = ""
        self._ended |= "memfd:gst-pyro" not in maps
        return self._ended
