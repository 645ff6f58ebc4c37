# SPDX-License-Identifier: MIT
"""What the agent says: in GStreamer's debug log, and on the host's stderr.

Context: agent, any thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.terminal import printable

if TYPE_CHECKING:
    from gst_pyro_shim.segment.segment import Segment

_LEVELS: Final = ("error", "warning", "info", "debug")


class Log:
    """Lines for GStreamer's debug log, and for the host's stderr what the settings ask for. MT-safe."""

    def __init__(self, segment: Segment | None = None, stderr: int = 2) -> None:
        """Errors and warnings go to stderr until `level` says otherwise.

        Args:
            segment: takes lines for GStreamer's log; None: nobody does.
            stderr: descriptor; negative: there is none.
        """
        self._lock = threading.Lock()
        self.segment = segment
        self._stderr = stderr
        self.level = "warning"

    def __call__(self, level: str, text: str) -> None:
        """Writes one line."""
        line = printable(" ".join(text.split()))
        with self._lock:
            if self.segment is not None:
                self.segment.log(level, line)
            if self._stderr >= 0 and _LEVELS.index(level) <= _LEVELS.index(self.level):
                # One write: threads of the host may be writing too.
                with contextlib.suppress(OSError):
                    os.write(self._stderr, f"gst-pyro: {line}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        """Segment and descriptor are about to go; lines that still come, from the exporter's threads, are lost."""
        with self._lock:
            self.segment, self._stderr = None, -1
