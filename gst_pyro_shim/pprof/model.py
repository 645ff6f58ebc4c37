# SPDX-License-Identifier: MIT
"""The model of a profile: frames, samples, windows.

Context: agent and controller. Pure data, no I/O.

Element frames stand in the stack among the functions. pprof has no field for that: what tells them
apart is their function's file name, `gst-element:<factory>:<path>`.
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
"""From 3.14 on Python may be built so that each opcode is a local function: stripped, none of them has a name."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a stack.

    Attributes:
        name: function, element or marker; never empty in a profile that we write.
        module: path of the ELF object, "" where there is none.
        build_id: of that module, hex.
        file: source file; of an element frame `gst-element:<factory>:<path>`.
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
        """Factory of an element frame; "" for CPU of no element."""
        return self.file.split(":", 2)[1] if self.kind == "element" else ""

    @property
    def path(self) -> str:
        """Path of an element frame, `/pipeline0/x264enc0`; "" for CPU of no element."""
        return self.file.split(":", 2)[2] if self.kind == "element" else ""

    @property
    def address(self) -> int | None:
        """ELF address that an identity stands for; None where there is a name."""
        if self.kind != "native" or not (found := _IDENTITY.search(self.name)):
            return None
        address = int(found[0][1:], 16)
        return address if self.name == identity(self.module, address) else None


def identity(module: str, address: int) -> str:
    """What stands for the name of a function without one.

    Args:
        module: path of the ELF object.
        address: where in it, as an ELF address, the function begins.
    """
    return f"{module.rpartition('/')[2]}+{address:#x}"


def element_frame(name: str, factory: str = "", path: str = "") -> Frame:
    """The frame of an element in a stack; without factory, of CPU that belongs to no element."""
    return Frame(name, file=f"{ELEMENT_FILE}{factory}:{path}", kind="element")


UNKNOWN: Final = Frame("[unknown]", kind="marker")
TRUNCATED: Final = Frame("[truncated]", kind="marker")
NO_SAMPLE: Final = Frame("[no sample]", kind="marker")
ORC: Final = Frame("[orc]", kind="marker")
JIT: Final = Frame("[jit]", kind="marker")
PYTHON: Final = "[python]"
"""Name of a native frame that runs Python code; pyroscope-io's samples say which."""
NOT_SAMPLED: Final = Frame("[python, not sampled]", kind="marker")
"""In place of Python functions, where pyroscope-io has no sample of an element's Python time."""
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
        samples: how many ticks stand behind it; 0 for an account that no tick met.
        labels: string labels; servers make series of them.
        tid: kernel's id of the thread, 0 where unknown. A numeric label, which servers drop.
        pid: of its process, 0 where the profile is of one process alone; likewise.
    """

    frames: tuple[Frame, ...]
    cpu_ns: int
    samples: int
    labels: tuple[tuple[str, str], ...] = ()
    tid: int = 0
    pid: int = 0

    @property
    def python(self) -> Frame | None:
        """What runs Python code on the leaf's side of the innermost element: it runs there, or called what does.

        None for our own agent: its Python is not the program's.
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
    """One window, or several merged.

    Attributes:
        start_ns: wall clock, ns since 1970.
        duration_ns: length of the window.
        period_ns: CPU time between two ticks, 0 without a sampling clock.
        samples: in no particular order.
        comments: free text; one `gst-pyro {json}` for each process (`stats.RunStats`).
        python: `samples`' time in Python code once more, by Python functions: how much by the accounts, where in it by
            pyroscope-io. Labelled as `samples` are, but for the thread; of its ticks. Never to be added to theirs.
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
