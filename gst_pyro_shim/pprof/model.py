# SPDX-License-Identifier: MIT
"""The model of a profile: frames, samples, windows.

A stack holds frames of elements among those of functions. pprof has no field for that: the file name of an element's
frame is `gst-element:<factory>:<path>`.

Context: agent and controller. Pure data, no I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from gst_pyro_shim.pprof.run_statistics import RunStats, latest
from gst_pyro_shim.segment.rows import FIXED_NAMES

ELEMENT_FILE: Final = "gst-element:"
FrameKind = Literal["native", "element", "marker"]
_IDENTITY: Final = re.compile(r"\+0x[0-9a-f]{1,16}\Z")
_NAMELESS_LOOP: Final = re.compile(r"(lib)?python3\.(1[4-9]|[2-9]\d)t?(\.so[.\d]*)?\+0x")
"""From 3.14 on Python may be built with a local function for each opcode: once stripped, none of them has a name."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack.

    Attributes:
        name: function, element or marker; never empty in a profile that we write.
        module: path of the ELF object, "" where there is none.
        build_id: of that module, hex, "" where unknown.
        file: source file, "" where unknown; of an element frame `gst-element:<factory>:<path>`.
        line: in that file, 0 where unknown.
        kind: "native", "element", or "marker": [unknown], [truncated], [no sample], [orc] and [jit].
    """

    name: str
    module: str = ""
    build_id: str = ""
    file: str = ""
    line: int = 0
    kind: FrameKind = "native"

    @property
    def factory(self) -> str:
        """Factory of an element frame; "" for CPU time of no element."""
        return self.file.split(":", 2)[1] if self.kind == "element" else ""

    @property
    def path(self) -> str:
        """Path of an element frame, `/pipeline0/x264enc0`; "" for CPU time of no element."""
        return self.file.split(":", 2)[2] if self.kind == "element" else ""

    @property
    def address(self) -> int | None:
        """ELF address of the function where the name is an identity; None where it is a function's name."""
        if self.kind != "native" or not (found := _IDENTITY.search(self.name)):
            return None
        address = int(found[0][1:], 16)
        return address if self.name == identity(self.module, address) else None


def identity(module: str, address: int) -> str:
    """The name of a frame whose function has no name.

    Args:
        module: path of the ELF object.
        address: ELF address at which the function starts.
    """
    return f"{module.rpartition('/')[2]}+{address:#x}"


def element_frame(name: str, factory: str = "", path: str = "") -> Frame:
    """The frame of an element in a stack; without `factory`, of CPU time of no element."""
    return Frame(name, file=f"{ELEMENT_FILE}{factory}:{path}", kind="element")


UNKNOWN: Final = Frame("[unknown]", kind="marker")
TRUNCATED: Final = Frame("[truncated]", kind="marker")
NO_SAMPLE: Final = Frame("[no sample]", kind="marker")
ORC: Final = Frame("[orc]", kind="marker")
JIT: Final = Frame("[jit]", kind="marker")
PYTHON: Final = "[python]"
"""Name of a native frame that runs Python code; pyroscope-io's samples have the Python functions."""
NOT_SAMPLED: Final = Frame("[python, not sampled]", kind="marker")
"""In place of Python functions, where pyroscope-io took no sample of an element's Python time."""
MARKERS: Final = frozenset(
    one.name for one in (UNKNOWN, TRUNCATED, NO_SAMPLE, ORC, JIT, NOT_SAMPLED)
)
_AGENT: Final = ("element", FIXED_NAMES["agent"])


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU time of one stack under one set of labels.

    Attributes:
        frames: leaf first.
        cpu_ns: CPU time, ns.
        samples: number of ticks; 0 for CPU time during which no tick fell.
        labels: string labels, (key, value); servers make series of them.
        tid: kernel's id of the thread, 0 where unknown. A numeric label, which servers drop.
        pid: of its process, 0 where the profile is of one process only; likewise.
    """

    frames: tuple[Frame, ...]
    cpu_ns: int
    samples: int
    labels: tuple[tuple[str, str], ...] = ()
    tid: int = 0
    pid: int = 0

    @property
    def python(self) -> Frame | None:
        """The frame that runs Python code between the leaf and the innermost element; None where there is none.

        Always None for our own agent: its Python is not the program's.
        """
        if _AGENT in self.labels:
            return None
        for frame in self.frames:
            if frame.kind == "element":
                return None
            if frame.name == PYTHON or _NAMELESS_LOOP.match(frame.name):
                return frame
        return None


@dataclass(frozen=True, slots=True)
class Profile:
    """One window, or the sum of several.

    Attributes:
        start_ns: ns since 1970.
        duration_ns: length of the window, ns.
        period_ns: CPU time between two ticks, ns; 0 without a sampling clock.
        samples: in no particular order.
        comments: free text; one `gst-pyro {json}` for each process (`RunStats`).
        python: the Python part of `samples`' time, by Python functions. The accounts say how much, pyroscope-io where.
            It has the labels of `samples` but for the thread, and pyroscope-io's ticks. `samples` hold this time as
            well: never add the two.
    """

    start_ns: int
    duration_ns: int
    period_ns: int
    samples: list[Sample] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    python: list[Sample] = field(default_factory=list)

    def stats(self) -> list[RunStats]:
        """Totals of each process, from the comments; empty for a profile of another tool."""
        found = (RunStats.from_comment(comment) for comment in self.comments)
        return latest(one for one in found if one is not None)
