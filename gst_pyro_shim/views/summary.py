# SPDX-License-Identifier: MIT
"""The figures of a profile: CPU time by element, and how complete the profile is.

Context: controller. No I/O. `as_json` is an interface for other programs: keys may be added, and are never renamed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gst_pyro_shim.pprof.merge import Cut
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.segment.rows import UNSEEN
from gst_pyro_shim.views.element_paths import settled
from gst_pyro_shim.views.element_rows import Row, elements_of, row_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.pprof.model import Profile
    from gst_pyro_shim.pprof.run_statistics import RunStats

_NS: Final = 1e9

# Reasons for which the shim (csrc/shared/abi.h) and the agent (agent/window.py) drop samples. Every other dropped_*
# counts profiles that the exporter dropped.
SAMPLE_DROPS: Final[tuple[str, ...]] = (
    "ring_full",
    "no_thread",
    "waited",
    "nested",
    "inert",
    "unfinished",
    "corrupt",
)
STACK_ENDS: Final[tuple[str, ...]] = (
    "cfi",
    "scan",
    "guessed",
    "boundary",
    "truncated",
    "leaf_only",
)
_COMPLETE_ENDS: Final = ("cfi", "scan")
_MAX_RATE: Final = 1000
"""Hz; as in settings/model.py. A file with a higher rate is damaged."""
_PYTHON_RATE_PART: Final = 4
"""pyroscope-io samples at this part of the sample rate; as in csrc/shim/python/pyroscope_io.c."""
_LEAST_EXCESS: Final = 0.005
"""Share of a process's CPU time; clocks that differ by less agree."""
_CLOCKS_APART_S: Final = 0.01
"""Clocks may always differ by this: they are not read at once, and an estimate may be 1 ms too high until corrected."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a profile.

    Attributes:
        rows: elements, most CPU time first.
        stats: statistics of each process that reported.
        facts: what `run` noted; None for a profile that `run` did not write.
        duration_s: from the first tracer's start to the last window's end.
        cut: CPU time, samples and elements whose stacks were not kept.
    """

    rows: list[Row]
    stats: list[RunStats]
    facts: RunFacts | None
    duration_s: float
    cut: Cut

    @property
    def accounted_s(self) -> float:
        """CPU time of all rows together."""
        return sum(row.self_ns for row in self.rows) / _NS

    @property
    def process_cpu_s(self) -> float:
        """User + system CPU time of the processes that reported, since their start, by their own clocks."""
        return sum(one.process_cpu_s for one in self.stats)

    @property
    def unseen_s(self) -> float:
        """Part of `accounted_s` that the clocks show but no thread's account. 0 where it is negligible."""
        return self._unless_small(
            sum(row.self_ns for row in self.rows if row.name == UNSEEN.name) / _NS
        )

    @property
    def excess_s(self) -> float:
        """By how much all rows together exceed the clocks; negative if they lack time. 0 where it is negligible."""
        return self._unless_small(self.accounted_s - self.process_cpu_s)

    def _unless_small(self, difference_s: float) -> float:
        """A difference of accounts and clocks, or 0 if it is small, or if no process's clock was read."""
        least_s = max(_CLOCKS_APART_S * len(self.stats), _LEAST_EXCESS * self.process_cpu_s)
        return difference_s if self.process_cpu_s and abs(difference_s) > least_s else 0.0

    @property
    def samples(self) -> int:
        """Ticks behind all rows."""
        return sum(row.samples for row in self.rows)

    @property
    def python_rate(self) -> int:
        """Rate in Hz at which pyroscope-io samples; 0 if it is not known."""
        rates = [one.sample_rate for one in self.stats if 0 < one.sample_rate <= _MAX_RATE]
        return -(-max(rates, default=0) // _PYTHON_RATE_PART)

    @property
    def python_samples(self) -> int:
        """pyroscope-io's samples behind all rows."""
        return sum(row.python_samples for row in self.rows)

    @property
    def python_s(self) -> float:
        """CPU time of all rows in Python code."""
        return sum(row.python_ns for row in self.rows) / _NS

    @property
    def not_sampled_s(self) -> float:
        """Part of `python_s` for which no Python function is known."""
        return sum(row.not_sampled_ns for row in self.rows) / _NS

    @property
    def counters(self) -> Counter[str]:
        """Counters of all processes together and of `run`, by name."""
        total: Counter[str] = Counter(self.facts.counters if self.facts else {})
        for one in self.stats:
            total.update(one.counters)
        return total

    @property
    def sample_clocks(self) -> list[str]:
        """The clocks that triggered samples; several where processes differ."""
        return list(dict.fromkeys(one.sample_clock for one in self.stats if one.sample_clock))

    @property
    def stacks(self) -> dict[str, int]:
        """Samples by how their stack ended."""
        counters = self.counters
        return {end: counters[f"stacks_{end}"] for end in STACK_ENDS}

    @property
    def named_fraction(self) -> float | None:
        """Share of the samples' weight whose leaf frame has a name; None without samples."""
        total = sum(one.total_weight for one in self.stats)
        return sum(one.named_weight for one in self.stats) / total if total else None

    @property
    def notes(self) -> list[str]:
        """Notes of the agents and of `run`, each once."""
        notes = [note for one in self.stats for note in one.notes]
        return list(dict.fromkeys(notes + (self.facts.problems if self.facts else [])))

    def dropped(self) -> tuple[dict[str, int], dict[str, int]]:
        """Dropped samples, and dropped profiles, by reason; without reasons that did not occur."""
        dropped = {
            name.removeprefix("dropped_"): number
            for name, number in self.counters.items()
            if name.startswith("dropped_") and number
        }
        samples = {name: dropped[name] for name in SAMPLE_DROPS if name in dropped}
        return samples, {name: dropped[name] for name in dropped if name not in samples}

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON."""
        samples_dropped, profiles_dropped = self.dropped()
        stacks = self.stacks
        return {
            "duration_s": self.duration_s,
            "process_cpu_s": self.process_cpu_s,
            "accounted_cpu_s": self.accounted_s,
            "unseen_cpu_s": self.unseen_s,
            "excess_cpu_s": self.excess_s,
            "samples": self.samples,
            "sample_clock": ", ".join(self.sample_clocks),
            "sample_rate": max((one.sample_rate for one in self.stats), default=0),
            "elements": [row_json(row) for row in self.rows],
            "python": {
                "cpu_s": self.python_s,
                "samples": self.python_samples,
                "sample_rate": self.python_rate,
                "not_sampled_cpu_s": self.not_sampled_s,
            },
            "dropped": samples_dropped,
            "dropped_profiles": profiles_dropped,
            "stacks": {
                "complete": sum(stacks[end] for end in _COMPLETE_ENDS),
                "truncated": stacks["truncated"],
                "by_how": stacks,
            },
            "cut_stacks": {"cpu_s": self.cut.cpu_ns / _NS, "samples": self.cut.samples},
            "named_fraction": self.named_fraction,
            "agent_cpu_s": sum(one.agent_cpu_s for one in self.stats),
            "counters": dict(self.counters),
            "processes": [
                {"pid": one.pid, "program": one.program, "cpu_s": one.process_cpu_s}
                for one in self.stats
            ],
            "notes": self.notes,
        }


def summarize(profile: Profile) -> Summary:
    """Sums a profile by element."""
    profile = settled(profile)
    rows: dict[tuple[str, str, str], Row] = {}
    stats = profile.stats()
    lone_pid = stats[0].pid if len(stats) == 1 else 0
    for sample in profile.samples:
        keys = elements_of(sample)
        for key in keys:
            if key not in rows:
                rows[key] = Row(*key)
        for key in dict.fromkeys(keys):
            rows[key].total_ns += sample.cpu_ns
        own = rows[keys[0]]
        own.self_ns += sample.cpu_ns
        own.samples += sample.samples
        own.python_ns += sample.cpu_ns if sample.python else 0
        if sample.cpu_ns:
            own.threads.add((sample.pid or lone_pid, sample.tid))
    for sample in profile.python:
        found = rows.get(elements_of(sample)[0])
        if found is not None:
            found.add_python(sample)
    return Summary(
        rows=sorted(
            rows.values(), key=lambda row: (-row.self_ns, -row.total_ns, row.path, row.name)
        ),
        stats=stats,
        facts=_facts(profile.comments),
        duration_s=_duration_s(profile, stats),
        cut=next(filter(None, map(Cut.from_comment, profile.comments)), Cut()),
    )


def _facts(comments: Iterable[str]) -> RunFacts | None:
    return next(filter(None, map(RunFacts.from_comment, comments)), None)


def _duration_s(profile: Profile, stats: list[RunStats]) -> float:
    if not stats:
        return profile.duration_ns / _NS
    start_ns = min(one.start_ns for one in stats)
    return max((one.start_ns - start_ns) / _NS + one.duration_s for one in stats)
