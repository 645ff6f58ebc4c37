# SPDX-License-Identifier: MIT
"""Troubles that a run goes on after: all are counted, and the text of each is kept once.

Context: agent and controller; any thread.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

MAX_TEXTS: Final = 100
"""Texts that are kept; all troubles are counted."""


class Problems:
    """Counters and texts, for one part of the agent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, None] = {}
        self._counters: Counter[str] = Counter()

    def add(self, counter: str, text: str) -> None:
        """Counts one more, and keeps its text."""
        with self._lock:
            self._counters[counter] += 1
            if len(self._texts) < MAX_TEXTS:
                self._texts[text] = None

    @property
    def texts(self) -> list[str]:
        """Each text once, the first one first."""
        with self._lock:
            return list(self._texts)

    @property
    def counters(self) -> dict[str, int]:
        """A copy of all counts."""
        with self._lock:
            return dict(self._counters)
