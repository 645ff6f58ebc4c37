# SPDX-License-Identifier: MIT
"""Python's own samples: a collector for the host's pyroscope-io, whose profiles go the way of ours.

pyroscope-io knows no deadline, no second try and no spool, and cannot stop while a server is silent. It pushes to this
process, which answers at once; what it brings goes out under a name of its own, since Python CPU is native CPU too.

Context: agent, outside the host. The collector's threads receive, the agent's thread takes.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.collector import Collector
from gst_pyro_shim.decode import decode, plain
from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.segment_rows import UNLABELLED
from gst_pyro_shim.wire import MEMORY_NAME, PROFILE_NAME

if TYPE_CHECKING:
    from gst_pyro_shim.config import Settings
    from gst_pyro_shim.delivery import Delivery
    from gst_pyro_shim.model import Profile
    from gst_pyro_shim.outbox import Log
    from gst_pyro_shim.segment import Segment

_SETTLE_S: Final = 0.05
_MAX_WAITING: Final = 64
_UNTAGGED: Final = ("element", UNLABELLED.name)


class PythonSamples:
    """Offers the host a collector and gathers what comes."""

    def __init__(self, segment: Segment, settings: Settings, delivery: Delivery, log: Log) -> None:
        """Listens, and tells the host where.

        Args:
            segment: of the host.
            settings: the user's.
            delivery: where it all goes.
            log: takes a level and a line.

        Raises:
            OSError: no socket could be had.
            RuntimeError: no thread could be had.
        """
        self._log = log
        self._segment = segment
        self._delivery = delivery
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._overflowed = 0
        self._refused = 0
        self._collector = Collector(self._take)
        self._collector.start()
        segment.offer_python(
            {
                "script": str(Path(__file__).with_name("host_python.py")),
                "url": self._collector.url,
                "token": self._collector.token,
                "package": _package(),
                "interval": f"{settings.upload_interval:g}",
                "memory": "1" if settings.python_memory else "",
            }
        )
        log("info", f"the host runs Python; its samples are taken at {self._collector.url}")

    def _take(self, name: str, raw: bytes) -> None:
        """The collector's threads: keeps a profile until `deliver`; the oldest goes where there is no room."""
        if name in {PROFILE_NAME, MEMORY_NAME}:
            with self._lock:
                self._waiting.append((name, raw))
                if len(self._waiting) > _MAX_WAITING:
                    self._waiting.popleft()
                    self._overflowed += 1

    def deliver(self) -> None:
        """Passes on what has come since the last call, unless it is void."""
        with self._lock:
            taken, self._waiting = self._waiting, deque()
            overflowed, self._overflowed = self._overflowed, 0
        refused = self._collector.counters.get("refused_pushes", 0)
        if refused > self._refused:
            text = f"of pyroscope-io: {'; '.join(self._collector.problems)}"
            self._delivery.drop("refused_push", text, refused - self._refused)
            self._refused = refused
        if not self._segment.has_entered_python:
            return
        if overflowed:
            text = "Python's profiles come faster than the agent takes them"
            self._delivery.drop("queue_full", text, overflowed)
        for name, raw in taken:
            try:
                if name == PROFILE_NAME:
                    profile = _completed(decode(raw))
                    if profile.samples:
                        self._delivery.deliver_python(profile)
                else:
                    self._delivery.deliver_memory(plain(raw))
            except ProfileFormatError as error:
                self._delivery.drop("unreadable", f"of pyroscope-io: {error.message}")

    def close(self) -> None:
        """The same for the last time: the host has pushed all it had, but it may not be read yet."""
        end = time.monotonic() + _SETTLE_S
        while self._collector.is_busy and time.monotonic() < end:
            time.sleep(0.002)
        self.deliver()
        self._collector.close()


def _completed(profile: Profile) -> Profile:
    """With ticks, and a label for threads that have no tags: they run since before there were any."""
    period = max(1, profile.period_ns)
    samples = [
        replace(
            one,
            samples=one.cpu_ns // period,
            labels=one.labels if "element" in dict(one.labels) else (_UNTAGGED, *one.labels),
        )
        for one in profile.samples
        if one.frames
    ]
    return replace(profile, samples=samples)


def _package() -> str:
    """Folder of this environment's pyroscope-io, for hosts that have none; "" where there is none."""
    spec = importlib.util.find_spec("pyroscope")
    folders = spec.submodule_search_locations if spec is not None else None
    return next(iter(folders or ()), "")
