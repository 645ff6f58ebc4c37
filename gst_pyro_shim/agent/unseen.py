# SPDX-License-Identifier: MIT
"""CPU time that no account holds.

Context: agent. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_STANDING_WINDOWS: Final = 3
_LEAST_NS: Final = 1_000_000
"""The two clocks are not read at the same instant: less than this is no thread."""


class Unseen:
    """CPU time of the process that no account holds.

    A thread that was not found yet has its CPU missing today and accounted tomorrow, from its birth. Only what has been
    missing for several windows in a row is told before the end; what accounts still bring after that would be told
    twice, and is not worth the name.
    """

    def __init__(self) -> None:
        """Starts with nothing missing."""
        self._missing: deque[int] = deque(maxlen=_STANDING_WINDOWS)
        self._told_ns = 0

    def take(self, process_ns: int, accounted_ns: int, *, final: bool) -> int:
        """What is to be told as unseen now, ns.

        Args:
            process_ns: CPU time of the process since its birth, at the last close.
            accounted_ns: what accounts have told since then.
            final: there is no later window.
        """
        self._missing.append(process_ns - accounted_ns)
        if not final and len(self._missing) < _STANDING_WINDOWS:
            return 0
        standing = self._missing[-1] if final else min(self._missing)
        new = standing - self._told_ns
        if new < _LEAST_NS:
            return 0
        self._told_ns += new
        return new
