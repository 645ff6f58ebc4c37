# SPDX-License-Identifier: MIT
"""One element's figures, and which elements a stack belongs to.

Context: controller. No I/O.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gst_pyro_shim.places import labelled

if TYPE_CHECKING:
    from gst_pyro_shim.model import Sample

_NS: Final = 1e9


class PythonFunction(NamedTuple):
    """A Python function within an element.

    Attributes:
        name: of the function.
        file: that holds it.
        self_ns: CPU of its own lines, and of what they called that is not Python.
        total_ns: the same with the Python functions that it called.
    """

    name: str
    file: str
    self_ns: float
    total_ns: float


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
        functions: ns that pyroscope-io saw of each Python function (name, file); says where in `python_ns`.
        callers: the same, with what the function called.
    """

    name: str
    path: str
    factory: str
    self_ns: int = 0
    total_ns: int = 0
    samples: int = 0
    threads: set[tuple[int, int]] = field(default_factory=set)
    python_ns: int = 0
    functions: Counter[tuple[str, str]] = field(default_factory=Counter)
    callers: Counter[tuple[str, str]] = field(default_factory=Counter)

    def python(self) -> list[PythonFunction]:
        """Python functions, most first; their `self_ns` together are `python_ns`."""
        seen = self.functions.total()
        if not seen or not self.python_ns:
            return []
        scale = self.python_ns / seen
        found = [
            PythonFunction(*key, scale * self.functions[key], scale * total)
            for key, total in self.callers.items()
        ]
        return sorted(found, key=lambda one: (-one.self_ns, -one.total_ns, one))


def elements_of(sample: Sample) -> list[tuple[str, str, str]]:
    """(name, path, factory) of the elements in a stack, innermost first; at least one."""
    found = [(one.name, one.path, one.factory) for one in sample.frames if one.kind == "element"]
    return found or [labelled(sample)]


def short_file(file: str) -> str:
    """A source file with its folder: enough to know it by."""
    return "/".join(file.rsplit("/", 2)[-2:])


def ticks(ns: int, rate: int) -> int:
    """How many samples stand behind a time."""
    return round(ns * rate / _NS)


def row_json(row: Row, python_rate: int) -> dict[str, Any]:
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
                "samples": ticks(row.callers[one.name, one.file], python_rate),
            }
            for one in row.python()
        ],
    }
