# SPDX-License-Identifier: MIT
"""CPU time of the process that no account holds.

Context: agent. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_WINDOWS_IN_A_ROW: Final = 3
_MIN_NS: Final = 1_000_000
"""The two clocks are not read at the same instant: a smaller difference is no thread."""


class Unseen:
    """Decides how much of a window's missing CPU time is reported as unseen.

    A thread that is found late has its CPU time missing at first, and accounted from its birth later. So before the end
    only time is reported that has been missing for several windows in a row. Where accounts still bring it after that,
    it is counted twice: too rarely to matter.
    """

    def __init__(self) -> None:
        """Starts with nothing missing."""
        self._missing: deque[int] = deque(maxlen=_WINDOWS_IN_A_ROW)
        self._reported_ns = 0

    def take(self, process_ns: int, accounted_ns: int, *, final: bool) -> int:
        """Returns the CPU time to report as unseen in this window, ns; no later call returns it again.

        Args:
            process_ns: CPU time of the process since its birth, at the last close.
            accounted_ns: CPU time that came from accounts since the process's birth.
            final: no window follows: all that is missing now is reported.
        """
        self._missing.append(process_ns - accounted_ns)
        if not final and len(self._missing) < _WINDOWS_IN_A_ROW:
            return 0
        certain_ns = self._missing[-1] if final else min(self._missing)
        new_ns = certain_ns - self._reported_ns
        if new_ns < _MIN_NS:
            return 0
        self._reported_ns += new_ns
        return new_ns
