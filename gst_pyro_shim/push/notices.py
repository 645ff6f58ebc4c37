# SPDX-License-Identifier: MIT
"""Messages about deliveries: each kind once, until the server takes profiles again.

Context: agent. Never called under the exporter's lock: whoever reads stderr may be slow.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Log = Callable[[str, str], None]
    """Takes a level (error, warning, info, debug) and a line."""

_WAITING: Final = "waiting"
"""The kind of all messages that profiles wait, whatever the reason."""


class Notices:
    """Logs the first message of each kind."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._logged: set[str] = set()

    def once(self, kind: str, level: str, text: str) -> None:
        """Logs the first message of a kind since the start, or since the server came back."""
        with self._lock:
            if kind in self._logged:
                return
            self._logged.add(kind)
        self._log(level, text)

    def dropped(self, reason: str, text: str) -> None:
        """Logs the first profile that is dropped for a reason."""
        self.once(f"dropped_{reason}", "warning", f"profile dropped ({reason}): {text}")

    def waiting(self, reason: str, level: str, url: str, text: str, place: str) -> None:
        """Logs that profiles wait for the server at `url`, in `place`."""
        self.once(reason, level, f"cannot push to {url}: {text}; profiles wait in {place}")
        with self._lock:
            self._logged.add(_WAITING)

    @property
    def has_said_waiting(self) -> bool:
        """Whether it is known that profiles wait."""
        with self._lock:
            return _WAITING in self._logged

    def server_is_back(self, url: str) -> None:
        """Logs that the trouble is over; from now on each kind is logged anew."""
        with self._lock:
            self._logged.clear()
        self._log("info", f"{url} takes profiles again")

    def pushed(self, url: str, size: int) -> None:
        """Logs a push, at level debug."""
        self._log("debug", f"pushed a profile of {size} bytes to {url}")
