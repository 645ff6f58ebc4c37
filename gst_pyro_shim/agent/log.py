# SPDX-License-Identifier: MIT
"""The agent's log: lines for GStreamer's debug log and for the host's stderr.

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
    """Writes lines to GStreamer's debug log, and to stderr those that the settings ask for. MT-safe.

    Attributes:
        segment: takes the lines for GStreamer's log; None: they are not written there.
        level: least important level that is written to stderr: error, warning, info or debug.
    """

    def __init__(self, segment: Segment | None = None, stderr: int = 2) -> None:
        """Writes errors and warnings to stderr until `level` is set.

        Args:
            segment: of the host, where it is mapped already.
            stderr: descriptor; negative: there is none.
        """
        self._lock = threading.Lock()
        self.segment = segment
        self._stderr = stderr
        self.level = "warning"

    def __call__(self, level: str, text: str) -> None:
        """Writes one line.

        Args:
            level: error, warning, info or debug.
            text: line breaks become blanks, control characters become escapes.
        """
        line = printable(" ".join(text.split()))
        with self._lock:
            if self.segment is not None:
                self.segment.log(level, line)
            if self._stderr >= 0 and _LEVELS.index(level) <= _LEVELS.index(self.level):
                # One write: threads of the host may write at the same time.
                with contextlib.suppress(OSError):
                    os.write(self._stderr, f"gst-pyro: {line}\n".encode("utf-8", "replace"))

    def close(self) -> None:
        """Stops writing, before segment and descriptor are closed. Later lines of the exporter's threads are lost."""
        with self._lock:
            self.segment, self._stderr = None, -1
