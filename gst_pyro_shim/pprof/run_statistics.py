# SPDX-License-Identifier: MIT
"""Totals of a profiled process, for which pprof has no fields.

Each profile carries them in one comment, `gst-pyro {json}`. They are cumulative since the process's tracer started: the
last comment that arrives describes the whole run, however many before it were lost.

Context: agent (writes) and controller (reads). Pure data, no I/O.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args

from gst_pyro_shim.pprof import comments
from gst_pyro_shim.segment.rows import SampleClock

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIND: Final = "gst-pyro"
_MAX_S: Final = 1e12
"""Times that are read from a comment are less than this; NaN and infinity are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """Totals of one profiled process.

    Attributes:
        pid: of the profiled process.
        start_ns: when its tracer started, ns since 1970; with `pid` it identifies the process.
        program: its executable, without folders.
        duration_s: from `start_ns` to the last close of a window, s.
        process_cpu_s: user and system CPU time of the process from its birth to that close, s.
        sample_clock: what paces the samples.
        sample_rate: as set, Hz.
        counters: abi.h's `enum gp_counter` and the exporter's, by wire name.
        named_weight: ticks of samples whose leaf frame has a function's name.
        total_weight: ticks of all samples.
        agent_home: "embedded", "process" or "controller".
        agent_cpu_s: CPU time of an agent outside the process, s; 0 where it is embedded, which has a label of its own.
        notes: sentences for the user, e.g. why nothing was sampled.
        final: no further profile comes from this process.
    """

    pid: int
    start_ns: int
    program: str = ""
    duration_s: float = 0.0
    process_cpu_s: float = 0.0
    sample_clock: SampleClock = ""
    sample_rate: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    named_weight: int = 0
    total_weight: int = 0
    agent_home: str = ""
    agent_cpu_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    final: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the process among all that push; a pid alone is reused."""
        return (self.pid, self.start_ns)

    @property
    def age(self) -> tuple[bool, float, int]:
        """Orders the totals of one process, newest last: each of these only grows."""
        return (self.final, self.duration_s, sum(self.counters.values()))

    def to_comment(self) -> str:
        """The comment to put into each profile."""
        return comments.write(_KIND, asdict(self))

    @classmethod
    def from_comment(cls, comment: str) -> RunStats | None:
        """The totals in `comment`; None where it is another comment, or damaged. Unknown keys are left out."""
        given = comments.read_fields(_KIND, comment, cls)
        if given is None:
            return None
        if given.get("sample_clock") not in get_args(SampleClock):
            given["sample_clock"] = ""
        return cls(**given) if _has_right_types(given) else None


def _has_right_types(given: dict[str, Any]) -> bool:
    counters = given.get("counters", {})
    notes = given.get("notes", [])
    numbers = ("duration_s", "process_cpu_s", "agent_cpu_s")
    integers = ("pid", "start_ns", "sample_rate", "named_weight", "total_weight")
    return (
        {"pid", "start_ns"} <= given.keys()
        and all(comments.is_integer(given.get(name, 0)) for name in integers)
        and all(
            type(number := given.get(name, 0)) in (int, float) and abs(number) < _MAX_S
            for name in numbers
        )
        and all(isinstance(given.get(name, ""), str) for name in ("program", "agent_home"))
        and isinstance(counters, dict)
        and all(map(comments.is_integer, counters.values()))
        and isinstance(notes, list)
        and all(isinstance(note, str) for note in notes)
        and isinstance(given.get("final", False), bool)
    )


def latest(stats: Iterable[RunStats]) -> list[RunStats]:
    """The newest totals of each process, in the order in which the processes started."""
    newest: dict[tuple[int, int], RunStats] = {}
    for one in stats:
        known = newest.get(one.key)
        if known is None or known.age <= one.age:
            newest[one.key] = one
    return sorted(newest.values(), key=lambda one: (one.start_ns, one.pid))
