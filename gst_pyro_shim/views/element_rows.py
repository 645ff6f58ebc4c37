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
        self_ns: CPU of its own lines, and of what they called that is not Python.
        total_ns: the same with the Python functions that it called.
        samples: of pyroscope-io, that stand for `total_ns`.
    """

    name: str
    file: str
    self_ns: float
    total_ns: float
    samples: int


@dataclass(slots=True)
class Row:
    """One element, or CPU that belongs to none.

    Attributes:
        name: of the element, or what the CPU was used for, in brackets.
        path: `/pipeline0/bin0/x264enc0`, "" where it is no element.
        factory: "" where it is no element.
        self_ns: CPU while it was the innermost element.
        total_ns: CPU of all stacks that hold it: what it called downstream included.
        samples: ticks behind `self_ns`.
        threads: (pid, tid) that used `self_ns`.
        python_ns: of `self_ns`, what Python code and what it called used.
        functions: of `python_ns`, what each Python function (name, file) used, or NOT_SAMPLED.
        callers: the same, with what the function called.
        python_ticks: pyroscope-io's samples of each, with what it called.
        python_samples: all of these samples, each once.
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
    def _told(self) -> float:
        """Share of `functions` that counts: less than 1 where they are more than `python_ns`, of which some is lost."""
        told = self.functions.total()
        return min(1.0, self.python_ns / told) if told else 0.0

    @property
    def not_sampled_ns(self) -> float:
        """Of `python_ns`, what no Python function is known of: told as such, or not told at all."""
        known = self.functions.total() - self.functions[_REST]
        return self.python_ns - self._told * known

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
        """Python functions and NOT_SAMPLED, most first; their `self_ns` together are `python_ns`."""
        if not self.python_ns:
            return []
        told, rest = self._told, self.not_sampled_ns
        found = [
            PythonFunction(*key, told * self.functions[key], told * total, self.python_ticks[key])
            for key, total in self.callers.items()
            if key != _REST
        ]
        if rest > 0:
            found.append(PythonFunction(*_REST, rest, rest, 0))
        return sorted(found, key=lambda one: (-one.self_ns, -one.total_ns, one))


def elements_of(sample: Sample) -> list[tuple[str, str, str]]:
    """(name, path, factory) of the elements in a stack, innermost first; at least one."""
    found = [(one.name, one.path, one.factory) for one in sample.frames if one.kind == "element"]
    return found or [labelled(sample)]


def short_file(file: str) -> str:
    """A source file with its folder: enough to know it by."""
    return "/".join(file.rsplit("/", 2)[-2:])


def row_json(row: Row) -> dict[str, Any]:
    """A row for machines."""
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
