# SPDX-License-Identifier: MIT
"""Adds profiles up, windows of one process or of several, in bounded memory.

Context: agent, for its file, and controller. Agents' threads add, the controller reads; one lock. No I/O.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from typing import Final

from gst_pyro_shim.pprof import comments
from gst_pyro_shim.pprof.folding import ENOUGH, Key, Value, fold
from gst_pyro_shim.pprof.model import TRUNCATED, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.run_statistics import RunStats, latest
from gst_pyro_shim.segment.rows import FIXED_NAMES

MAX_STACKS: Final = 100_000
"""Some 70 MB with stacks of usual depth."""
MAX_FRAMES: Final = 8_000_000
"""Of all stacks together: 64 MB. One stack may have thousands."""

MAX_COMMENTS: Final = 10_000
"""Further ones are left out: links between elements that come and go."""

_CUT_KIND: Final = "gst-pyro-cut"
_OF_ELEMENTS: Final = frozenset({"element", "factory", "pipeline", "path"})
"""Labels that a stack keeps when it is cut. The thread's is dropped: there may be any number of threads."""

_OVERFLOW: Final = FIXED_NAMES["overflow"]
_BEYOND: Final = Key((TRUNCATED, element_frame(_OVERFLOW)), (("element", _OVERFLOW),), 0, 0)


@dataclass(frozen=True, slots=True)
class Cut:
    """What lost detail for lack of room. The profile carries it in a comment, `gst-pyro-cut {json}`.

    Attributes:
        cpu_ns: CPU time of stacks that were cut to their elements, ns.
        samples: their ticks.
        elements: number of elements, not seen for long, that were folded into their factories.
    """

    cpu_ns: int = 0
    samples: int = 0
    elements: int = 0

    @classmethod
    def from_comment(cls, comment: str) -> Cut | None:
        """The content of `comment`; None where it is another comment, damaged, or of another version."""
        given = comments.read(_CUT_KIND, comment)
        if given is None or not all(map(comments.is_integer, given.values())):
            return None
        try:
            return cls(**given)
        except TypeError:  # keys of another version
            return None

    def to_comment(self) -> str:
        """The comment to put into a profile."""
        return comments.write(_CUT_KIND, asdict(self))


class _Sums:
    """Sums by stack, labels and thread.

    Three steps keep them bounded:

    1. Once there are too many stacks, those that were not seen for long are folded (folding.py).
    2. Where that does not make room, a new stack keeps only its elements and whether it runs Python, without a thread.
    3. Once there are too many of these as well, a new stack keeps only its time, under one label for all.

    Attributes:
        cut: what lost detail in these steps.
    """

    def __init__(self, max_stacks: int, max_frames: int, *, of_python: bool) -> None:
        """Starts empty.

        Args:
            max_stacks: distinct (stack, labels, thread) kept whole, and that many again without functions.
            max_frames: frames of those kept whole; again as many of the others.
            of_python: the samples are Python's own.
        """
        self._max_stacks = max_stacks
        self._max_frames = max_frames
        self._of_python = of_python
        self._values: dict[Key, Value] = {}
        self._frames = 0
        self._folded_ns = 0
        self.cut = Cut()

    def add(self, sample: Sample, pid: int, now_ns: int) -> None:
        """Adds one sample.

        Args:
            sample: what to add.
            pid: of its process.
            now_ns: start of its window, ns since 1970.
        """
        key = Key(sample.frames, sample.labels, sample.tid, pid)
        known = self._values.get(key)
        if known is None and not self._has_room(1):
            self._fold(now_ns)
        if known is None and not self._has_room(1):
            self.cut = replace(
                self.cut,
                cpu_ns=self.cut.cpu_ns + sample.cpu_ns,
                samples=self.cut.samples + sample.samples,
            )
            key = self._without_functions(sample, pid)
            if key not in self._values and not self._has_room(2):
                key = _BEYOND
            known = self._values.get(key)
        if known is None:
            self._frames += len(key.frames)
        cpu_ns, samples, seen_ns = known or (0, 0, 0)
        self._values[key] = Value(
            cpu_ns + sample.cpu_ns, samples + sample.samples, max(seen_ns, now_ns)
        )

    def _fold(self, now_ns: int) -> None:
        """Folds at most once a window: each time all sums are visited."""
        if self._folded_ns >= now_ns:
            return
        self._folded_ns = now_ns
        elements = fold(self._values, now_ns, int(ENOUGH * self._max_stacks))
        self._frames = sum(len(key.frames) for key in self._values)
        self.cut = replace(self.cut, elements=self.cut.elements + elements)

    def _has_room(self, times: int) -> bool:
        is_short = self._frames < times * self._max_frames
        return is_short and len(self._values) < times * self._max_stacks

    def _without_functions(self, sample: Sample, pid: int) -> Key:
        labels = tuple(one for one in sample.labels if one[0] in _OF_ELEMENTS)
        if self._of_python:  # the leaf stays: a function's own time under its element
            leaf = tuple(replace(frame, line=0) for frame in sample.frames[:1])
            return Key((*leaf, TRUNCATED), labels, 0, pid)
        elements = (frame for frame in sample.frames if frame.kind == "element")
        runs = sample.python
        python = (Frame(runs.name, runs.module),) if runs else ()
        return Key((TRUNCATED, *python, *elements), labels, 0, pid)

    def samples(self) -> list[Sample]:
        """All sums."""
        return [
            Sample(frames, cpu_ns, samples, labels, tid, pid)
            for (frames, labels, tid, pid), (cpu_ns, samples, _) in self._values.items()
        ]


class Merge:
    """Sum of profiles. MT-safe."""

    def __init__(self, max_stacks: int = MAX_STACKS, max_frames: int = MAX_FRAMES) -> None:
        """Starts empty.

        Args:
            max_stacks: distinct (stack, labels, thread) kept whole; of Python's own as many.
            max_frames: of all of these together; of Python's own as many.
        """
        self._lock = threading.Lock()
        self._native = _Sums(max_stacks, max_frames, of_python=False)
        self._python = _Sums(max_stacks, max_frames, of_python=True)
        self._stats: dict[tuple[int, int], RunStats] = {}
        self._comments: dict[str, None] = {}
        self._start_ns = 0
        self._end_ns = 0
        self._period_ns = 0

    def add(self, profile: Profile) -> None:
        """Adds one profile: a window, or a part of one that was split."""
        stats = profile.stats()
        pid = stats[0].pid if len(stats) == 1 else 0
        with self._lock:
            self._add_times(profile)
            for one in stats:
                known = self._stats.get(one.key)
                self._stats[one.key] = latest([known, one])[0] if known is not None else one
            for comment in profile.comments:
                if RunStats.from_comment(comment) is None and len(self._comments) < MAX_COMMENTS:
                    self._comments[comment] = None
            for sample in profile.samples:
                self._native.add(sample, sample.pid or pid, profile.start_ns)
            for sample in profile.python:
                self._python.add(sample, sample.pid or pid, profile.start_ns)

    def _add_times(self, profile: Profile) -> None:
        if profile.start_ns:
            self._start_ns = min(self._start_ns or profile.start_ns, profile.start_ns)
            self._end_ns = max(self._end_ns, profile.start_ns + profile.duration_ns)
        self._period_ns = self._period_ns or profile.period_ns

    def stats(self) -> list[RunStats]:
        """Newest totals of each process, in the order in which the processes started."""
        with self._lock:
            return latest(self._stats.values())

    def profile(self) -> Profile:
        """The sum of what was added so far, with each process's newest totals in the comments."""
        with self._lock:
            cut = self._native.cut
            return Profile(
                start_ns=self._start_ns,
                duration_ns=self._end_ns - self._start_ns,
                period_ns=self._period_ns,
                samples=self._native.samples(),
                python=self._python.samples(),
                comments=[one.to_comment() for one in latest(self._stats.values())]
                + ([cut.to_comment()] if cut != Cut() else [])
                + list(self._comments),
            )
