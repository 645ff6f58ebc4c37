# SPDX-License-Identifier: MIT
"""The profiled process, as an agent beside it sees it: is it still there?

Context: agent.
"""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gst_pyro_shim.segment import Home


class Host:
    """Whether the profiled process is still there."""

    def __init__(self, pid: int, home: Home) -> None:
        """Watches it where it can end without us."""
        self._pid = pid
        self._is_beside = home == "process"
        self._poll: select.poll | None = None
        self._ended = False
        if self._is_beside:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                self._ended = True
            except OSError:  # older containers forbid what they do not know
                return
            else:
                self._poll = select.poll()
                self._poll.register(descriptor, select.POLLIN)

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
