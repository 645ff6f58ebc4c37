# SPDX-License-Identifier: MIT
"""When to ask a server again that did not take a profile.

Context: agent (the exporter's threads, under its lock).
"""

from __future__ import annotations

import os
import time
from typing import Final

from gst_pyro_shim.push.answer import Answer, Fate
from gst_pyro_shim.push.spool_entry import MAX_AGE_S

FIRST_S: Final = 1.0
MOST_S: Final = 60.0


class Backoff:
    """Waits for longer after each failed attempt in a row.

    Attributes:
        is_silent: the last attempt got no answer, so the next would most likely take its whole timeout.
    """

    def __init__(self) -> None:
        self.is_silent = False
        self._failures = 0  # in a row
        self._resume_at = 0.0  # monotonic

    @property
    def remaining_s(self) -> float:
        """Seconds for which no attempt is made; zero or less: one may be made now."""
        return self._resume_at - time.monotonic()

    def note(self, answer: Answer) -> bool:
        """Notes how an attempt ended.

        Returns:
            Whether this is the first success after failures.
        """
        if answer.fate in {Fate.STORED, Fate.REFUSED}:
            came_back = self._failures > 0 and answer.fate is Fate.STORED
            self._failures, self._resume_at, self.is_silent = 0, 0.0, False
            return came_back
        self._failures += 1
        self.is_silent = answer.reason in {"timeout", "unconfirmed"}
        most_s = min(MOST_S, FIRST_S * 2 ** min(self._failures, 16))
        # Full jitter: the many hosts of one server must not come back at the same moment.
        wait_s = most_s * int.from_bytes(os.urandom(4), "big") / 2**32
        if answer.fate is Fate.PAUSE:
            wait_s = MOST_S
        self._resume_at = time.monotonic() + max(wait_s, min(answer.wait_s, MAX_AGE_S))
        return False
