# SPDX-License-Identifier: MIT
"""What a profiled process says about itself, for what pprof has no field for.

Context: agent (writes) and controller (reads). Pure data, no I/O.

It travels as one comment of each profile, `gst-pyro {json}`, cumulative since the process's tracer
came up: the last one that arrived describes the whole run, however many before it were lost.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, get_args

from gst_pyro_shim.pprof import comments
from gst_pyro_shim.segment.rows import SampleClock

if TYPE_CHECKING:
    from collections.abc import Iterable

_KIND: Final = "gst-pyro"
_MOST_S: Final = 1e12
"""Nor is anything that JSON cannot say, NaN or infinity, a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """Totals of one profiled process.

    Attributes:
        pid: of the profiled process.
        start_ns: wall clock (ns since 1970) when its tracer came up; with `pid` it names the
            process.
        program: its executable, without folders.
        duration_s: from `start_ns` to the last close of a window.
        process_cpu_s: user + system CPU of the process from its birth to that close.
        sample_clock: what paces the samples.
        sample_rate: asked for, in Hz.
        counters: abi.h's `enum gp_counter` and the exporter's, by wire name.
        named_weight: weight of samples whose leaf frame has a function's name.
        total_weight: weight of all samples.
        agent_home: "embedded", "process" or "controller".
        agent_cpu_s: CPU of an agent outside the process; 0 where it is embedded (then it has a row
            of its own).
        notes: sentences for the user, e.g. why nothing was sampled.
        final: nothing more comes from this process.
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
        """Names the process among all that pushed; a pid alone is reused."""
        return (self.pid, self.start_ns)

    @property
    def age(self) -> tuple[bool, float, int]:
        """Orders what one process said: all of it only grows."""
        return (self.final, self.duration_s, sum(self.counters.values()))

    def to_comment(self) -> str:
        """The comment to put into each profile."""
        return comments.write(_KIND, asdict(self))

    @classmethod
    def from_comment(cls, comment: str) -> RunStats | None:
        """The totals in `comment`; None where it is another comment. Unknown keys are left out."""
        given = comments.read(_KIND, comment)
        if given is None:
            return None
        known = {item.name for item in fields(cls)}
        kept = {name: value for name, value in given.items() if name in known}
        if kept.get("sample_clock") not in get_args(SampleClock):
            kept["sample_clock"] = ""
        if not _has_right_types(kept):
            return None
        return cls(**kept)


def _has_right_types(given: dict[str, Any]) -> bool:
    counters = given.get("counters", {})
    notes = given.get("notes", [])
    numbers = ("duration_s", "process_cpu_s", "agent_cpu_s")
    integers = ("pid", "start_ns", "sample_rate", "named_weight", "total_weight")
    return (
        {"pid", "start_ns"} <= given.keys()
        and all(comments.is_integer(given.get(name, 0)) for name in integers)
        and all(
            type(number := given.get(name, 0)) in (int, float) and abs(number) < _MOST_S
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
    """The newest totals of each process, in order of start."""
    newest: dict[tuple[int, int], RunStats] = {}
    for one in stats:
        known = newest.get(one.key)
        if known is None or known.age <= one.age:
            newest[one.key] = one
    return sorted(newest.values(), key=lambda one: (one.start_ns, one.pid))
