# SPDX-License-Identifier: MIT
"""One element's figures, and which elements a stack belongs to.

Context: controller. No I/O.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gst_pyro_shim.pprof.model import NOT_SAMPLED
from gst_pyro_shim.views.element_paths import labelled

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Sample

_NS: Final = 1e9


_Function = tuple[str, str]
_REST: Final[_Function] = (NOT_SAMPLED.name, NOT_SAMPLED.file)


class PythonFunction(NamedTuple):
    """A Python function within an element, or NOT_SAMPLED.

    Attributes:
        name: of the function.
        file: that holds it.
        self_ns: CPU time of its own lines, and of what they called that is not Python.
        total_ns: `self_ns` and that of the Python functions it called.
        samples: pyroscope-io's samples behind `total_ns`.
    """

    name: str
    file: str
    self_ns: float
    total_ns: float
    samples: int


@dataclass(slots=True)
class Row:
    """One element, or CPU time that belongs to none.

    Attributes:
        name: name of the element, or in brackets what the CPU time was used for.
        path: `/pipeline0/bin0/x264enc0`; "" if it is no element.
        factory: "" if it is no element.
        self_ns: CPU time in which it was the innermost element.
        total_ns: CPU time of all stacks that contain it, so with the elements that it called downstream.
        samples: ticks behind `self_ns`.
        threads: (pid, tid) that used `self_ns`.
        python_ns: part of `self_ns` that Python code used, with what it called.
        functions: ns of each Python function (name, file) itself, or of NOT_SAMPLED.
        callers: ns of each Python function with the functions it called.
        python_ticks: pyroscope-io's samples of each Python function with the functions it called.
        python_samples: all of these samples, each counted once.
    """

    name: str
    path: str
    factory: str
    self_ns: int = 0
    total_ns: int = 0
    samples: int = 0
    threads: set[tuple[int, int]] = field(default_factory=set)
    python_ns: int = 0
    functions: Counter[_Function] = field(default_factory=Counter)
    callers: Counter[_Function] = field(default_factory=Counter)
    python_ticks: Counter[_Function] = field(default_factory=Counter)
    python_samples: int = 0

    @property
    def _scale(self) -> float:
        """Factor for `functions`; less than 1 where they sum to more than `python_ns`, some of which may be lost."""
        sampled = self.functions.total()
        return min(1.0, self.python_ns / sampled) if sampled else 0.0

    @property
    def not_sampled_ns(self) -> float:
        """Part of `python_ns` for which no Python function is known."""
        known = self.functions.total() - self.functions[_REST]
        return self.python_ns - self._scale * known

    def add_python(self, sample: Sample) -> None:
        """Adds a sample of Python functions."""
        if not sample.frames:
            return
        leaf = sample.frames[0]
        self.functions[leaf.name, leaf.file] += sample.cpu_ns
        self.python_samples += sample.samples
        for function in {(frame.name, frame.file) for frame in sample.frames}:
            self.callers[function] += sample.cpu_ns
            self.python_ticks[function] += sample.samples

    def python(self) -> list[PythonFunction]:
        """Python functions and NOT_SAMPLED, most CPU time first. The sum of their `self_ns` is `python_ns`."""
        if not self.python_ns:
            return []
        scale, rest = self._scale, self.not_sampled_ns
        found = [
            PythonFunction(*key, scale * self.functions[key], scale * total, self.python_ticks[key])
            for key, total in self.callers.items()
            if key != _REST
        ]
        if rest > 0:
            found.append(PythonFunction(*_REST, rest, rest, 0))
        return sorted(found, key=lambda one: (-one.self_ns, -one.total_ns, one))


def elements_of(sample: Sample) -> list[tuple[str, str, str]]:
    """The elements in a stack as (name, path, factory), innermost first; at least one."""
    found = [(one.name, one.path, one.factory) for one in sample.frames if one.kind == "element"]
    return found or [labelled(sample)]


def short_file(file: str) -> str:
    """The last two parts of a source file's path."""
    return "/".join(file.rsplit("/", 2)[-2:])


def row_json(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {
        "name": row.name,
        "path": row.path,
        "factory": row.factory or None,
        "self_cpu_s": row.self_ns / _NS,
        "total_cpu_s": row.total_ns / _NS,
        "threads": len(row.threads),
        "samples": row.samples,
        "python_cpu_s": row.python_ns / _NS,
        "python": [
            {
                "function": one.name,
                "file": one.file,
                "cpu_s": one.self_ns / _NS,
                "total_cpu_s": one.total_ns / _NS,
                "samples": one.samples,
            }
            for one in row.python()
        ],
    }
