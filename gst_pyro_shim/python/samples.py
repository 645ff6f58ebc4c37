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

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.pprof.decode import decode, plain
from gst_pyro_shim.protocol import MEMORY_NAME, PROFILE_NAME
from gst_pyro_shim.python.collector import Collector

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Profile, Sample
    from gst_pyro_shim.push.delivery import Delivery
    from gst_pyro_shim.push.notices import Log
    from gst_pyro_shim.segment.segment import Segment
    from gst_pyro_shim.settings.model import Settings

_SETTLE_S: Final = 0.05
_MAX_WAITING: Final = 64
_LEAST_INTERVAL_S: Final = 1.0
"""pyroscope-io's own, of whole seconds."""


class PythonSamples:
    """Offers the host a collector and gathers what comes.

    pyroscope-io pushes after each of its intervals, whether it has samples or not. A window of ours ends with each
    push: so both tell of the same stretch.

    """

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
        self._wants_memory = settings.python_memory
        self._has_memory = False
        self._has_begun = self._begins = False
        self._seen: Profile | None = None
        self._is_awaited = False
        self._interval_s = max(_LEAST_INTERVAL_S, settings.upload_interval)
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

    def look(self) -> bool:
        """Takes what has come since the last call, unless it is void; allocations are passed on.

        Returns:
            Whether a window is to end now: pyroscope-io has come up, or has told of another stretch.
        """
        with self._lock:
            taken, self._waiting = self._waiting, deque()
            overflowed, self._overflowed = self._overflowed, 0
        refused = self._collector.counters.get("refused_pushes", 0)
        if refused > self._refused:
            text = f"of pyroscope-io: {'; '.join(self._collector.problems)}"
            self._delivery.drop("refused_push", text, refused - self._refused)
            self._refused = refused
        if not self._segment.has_entered_python:
            self._is_awaited = self._begins = False
            self._seen = None
            return False
        if overflowed:
            text = "Python's profiles come faster than the agent takes them"
            self._delivery.drop("queue_full", text, overflowed)
        for name, raw in taken:
            try:
                if name == PROFILE_NAME:
                    self._add(decode(raw))
                else:
                    self._has_memory = True
                    self._delivery.deliver_memory(plain(raw))
            except ProfileFormatError as error:
                self._delivery.drop("unreadable", f"of pyroscope-io: {error.message}")
        if self._segment.python_was_sampled and not self._has_begun:
            self._has_begun = self._begins = True
        return self._begins or self._seen is not None

    def _add(self, profile: Profile) -> None:
        """One more push of the same window, where the agent was late."""
        before = self._seen.samples if self._seen is not None else []
        self._seen = replace(profile, samples=before + _counted(profile))

    def take(self) -> Profile | None:
        """What it told of the window that has ended, its ticks in `samples`; None: nothing."""
        seen, self._seen = self._seen, None
        self._is_awaited, self._begins = self._begins or seen is not None, False
        return seen

    @property
    def patience_s(self) -> float:
        """How long the next push is waited for, s; 0 where none will come."""
        return 2 * self._interval_s if self._is_awaited else 0.0

    def close(self) -> None:
        """The last look: the host has pushed all it had, but it may not be read yet."""
        end = time.monotonic() + _SETTLE_S
        while self._collector.is_busy and time.monotonic() < end:
            time.sleep(0.002)
        self.look()
        self._collector.close()

    def counters(self) -> dict[str, int]:
        """What did not come before the end, by wire name."""
        has_begun = self._segment.python_was_sampled
        return {
            "python_end_lost": int(has_begun and not self._segment.python_was_pushed),
            "python_memory_none": int(self._wants_memory and not self._has_memory),
        }


def offer(
    segment: Segment, settings: Settings, delivery: Delivery, log: Log
) -> PythonSamples | None:
    """As PythonSamples; None where nothing can listen for them, which is said."""
    try:
        return PythonSamples(segment, settings, delivery, log)
    except (OSError, RuntimeError) as error:
        log(
            "warning",
            f"Python functions are not profiled: the agent cannot listen for them ({error})."
            " See that there is a loopback interface, and room for descriptors and threads",
        )
        return None


def _counted(profile: Profile) -> list[Sample]:
    """Samples with their ticks."""
    period = max(1, profile.period_ns)
    return [replace(one, samples=one.cpu_ns // period) for one in profile.samples if one.frames]


def _package() -> str:
    """Folder of this environment's pyroscope-io, for hosts that have none; "" where there is none."""
    spec = importlib.util.find_spec("pyroscope")
    folders = spec.submodule_search_locations if spec is not None else None
    return next(iter(folders or ()), "")
