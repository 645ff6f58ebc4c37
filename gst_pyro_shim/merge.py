# SPDX-License-Identifier: MIT
"""Adds profiles up: windows of one process, and those of several.

Context: controller. The collector's threads add, the controller reads; one lock. No I/O.
"""

from __future__ import annotations

import threading
from typing import Final

from gst_pyro_shim.model import TRUNCATED, Frame, Profile, Sample
from gst_pyro_shim.stats import RunStats, latest

# Some 70 MB. Beyond it what was not met before keeps its elements only, and threads that come anew
# count as one; CPU time stays exact.
MAX_STACKS: Final = 100_000

_Key = tuple[tuple[Frame, ...], tuple[tuple[str, str], ...], int, int]


class Merge:
    """Sum of profiles. MT-safe."""

    def __init__(self, max_stacks: int = MAX_STACKS) -> None:
        """Starts empty.

        Args:
            max_stacks: distinct (stack, labels, thread) kept whole.
        """
        self._max_stacks = max_stacks
        self._lock = threading.Lock()
        self._values: dict[_Key, tuple[int, int]] = {}
        self._python: dict[_Key, tuple[int, int]] = {}
        self._stats: dict[tuple[int, int], RunStats] = {}
        self._comments: dict[str, None] = {}
        self._start_ns = 0
        self._end_ns = 0
        self._period_ns = 0

    def add(self, profile: Profile) -> None:
        """Adds one profile. A window that was split comes as several."""
        stats = profile.stats()
        pid = stats[0].pid if len(stats) == 1 else 0
        with self._lock:
            self._add_times(profile)
            for one in latest([*self._stats.values(), *stats]):
                self._stats[one.key] = one
            for comment in profile.comments:
                if RunStats.from_comment(comment) is None:
                    self._comments[comment] = None
            for sample in profile.samples:
                self._add_sample(self._values, sample, sample.pid or pid)
            for sample in profile.python:
                self._add_sample(self._python, sample, sample.pid or pid)

    def _add_times(self, profile: Profile) -> None:
        if profile.start_ns:
            self._start_ns = min(self._start_ns or profile.start_ns, profile.start_ns)
            self._end_ns = max(self._end_ns, profile.start_ns + profile.duration_ns)
        self._period_ns = self._period_ns or profile.period_ns

    def _add_sample(self, values: dict[_Key, tuple[int, int]], sample: Sample, pid: int) -> None:
        key: _Key = (sample.frames, sample.labels, sample.tid, pid)
        known = values.get(key)
        if known is None and len(values) >= self._max_stacks:
            elements = tuple(frame for frame in sample.frames if frame.kind == "element")
            key = ((TRUNCATED, *elements), sample.labels, 0, pid)
            known = values.get(key)
        cpu_ns, samples = known or (0, 0)
        values[key] = (cpu_ns + sample.cpu_ns, samples + sample.samples)

    def stats(self) -> list[RunStats]:
        """Newest totals of each process, in order of start."""
        with self._lock:
            return latest(self._stats.values())

    def profile(self) -> Profile:
        """What was added so far, with each process's newest totals in the comments."""
        with self._lock:
            return Profile(
                start_ns=self._start_ns,
                duration_ns=self._end_ns - self._start_ns,
                period_ns=self._period_ns,
                samples=_samples(self._values),
                python=_samples(self._python),
                comments=[one.to_comment() for one in latest(self._stats.values())]
                + list(self._comments),
            )


def _samples(values: dict[_Key, tuple[int, int]]) -> list[Sample]:
    return [
        Sample(frames, cpu_ns, samples, labels, tid, pid)
        for (frames, labels, tid, pid), (cpu_ns, samples) in values.items()
    ]
