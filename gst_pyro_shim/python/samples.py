# SPDX-License-Identifier: MIT
"""Python's own samples: a collector for the host's pyroscope-io, whose profiles are then delivered as ours are.

pyroscope-io has no deadline, no retries and no spool, and cannot stop while a server does not answer. So it pushes to
this process, which answers at once. Its profiles are delivered under a name of their own, because Python's CPU time is
part of the native CPU time.

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
    """Offers the host a collector, and gathers what is pushed to it.

    pyroscope-io pushes after each of its intervals, whether it has samples or not. A window of ours ends with each
    push, so that both cover the same time.
    """

    def __init__(self, segment: Segment, settings: Settings, delivery: Delivery, log: Log) -> None:
        """Listens, and writes the collector's address into the segment.

        Args:
            segment: of the host.
            settings: the user's.
            delivery: takes the profiles.
            log: takes a level and a line.

        Raises:
            OSError: no socket can be made.
            RuntimeError: no thread can be started.
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
        """Keeps a profile until `look`; where there is no room the oldest is dropped. On the collector's threads."""
        if name in {PROFILE_NAME, MEMORY_NAME}:
            with self._lock:
                self._waiting.append((name, raw))
                if len(self._waiting) > _MAX_WAITING:
                    self._waiting.popleft()
                    self._overflowed += 1

    def look(self) -> bool:
        """Reads the profiles since the last call, unless they are void; those of allocations are delivered.

        Returns:
            Whether a window is to end now: pyroscope-io has started, or has pushed the samples of one more interval.
        """
        with self._lock:
            taken, self._waiting = self._waiting, deque()
            overflowed, self._overflowed = self._overflowed, 0
        refused = self._collector.problems.counters.get("refused_pushes", 0)
        if refused > self._refused:
            text = f"of pyroscope-io: {'; '.join(self._collector.problems.texts)}"
            self._delivery.drop("refused_push", text, refused - self._refused)
            self._refused = refused
        if not self._segment.has_entered_python:
            self._is_awaited = self._begins = False
            self._seen = None
            return False
        if overflowed:
            text = "Python's profiles come faster than the agent reads them"
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
        """Adds a push to the window's samples: where the agent is late, several belong to one window."""
        before = self._seen.samples if self._seen is not None else []
        self._seen = replace(profile, samples=before + _counted(profile))

    def take(self) -> Profile | None:
        """pyroscope-io's samples of the window that has ended, with their ticks; None where it pushed none."""
        seen, self._seen = self._seen, None
        self._is_awaited, self._begins = self._begins or seen is not None, False
        return seen

    @property
    def patience_s(self) -> float:
        """Seconds for which the next push is waited for; 0 where none is expected."""
        return 2 * self._interval_s if self._is_awaited else 0.0

    def close(self) -> None:
        """Looks for the last time: the host has pushed all it had, but that may not be read yet."""
        end = time.monotonic() + _SETTLE_S
        while self._collector.is_busy and time.monotonic() < end:
            time.sleep(0.002)
        self.look()
        self._collector.close()

    def counters(self) -> dict[str, int]:
        """Counts of what was not pushed before the end, by wire name."""
        has_begun = self._segment.python_was_sampled
        return {
            "python_end_lost": int(has_begun and not self._segment.python_was_pushed),
            "python_memory_none": int(self._wants_memory and not self._has_memory),
        }


def offer(
    segment: Segment, settings: Settings, delivery: Delivery, log: Log
) -> PythonSamples | None:
    """Makes PythonSamples; None where no collector can listen, which is logged."""
    try:
        return PythonSamples(segment, settings, delivery, log)
    except (OSError, RuntimeError) as error:
        log(
            "warning",
            f"Python functions are not profiled: the agent cannot listen for them ({error})."
            " It needs a loopback interface, and room for a descriptor and some threads",
        )
        return None


def _counted(profile: Profile) -> list[Sample]:
    """A profile's samples, with the ticks that their CPU time stands for."""
    period = max(1, profile.period_ns)
    return [replace(one, samples=one.cpu_ns // period) for one in profile.samples if one.frames]


def _package() -> str:
    """Folder of this environment's pyroscope-io, for hosts without one of their own; "" where there is none."""
    spec = importlib.util.find_spec("pyroscope")
    folders = spec.submodule_search_locations if spec is not None else None
    return next(iter(folders or ()), "")
