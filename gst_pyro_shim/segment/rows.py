# SPDX-License-Identifier: MIT
"""What the segment tells, as plain data: labels, threads, accounts, modules, names, drained records.

Context: agent. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

SampleClock = Literal["", "none", "perf", "timer"]
"""What paces the samples (abi.h, enum gp_clock, lowered); "" where nobody said."""


@dataclass(frozen=True, slots=True)
class Label:
    """Who was running.

    Attributes:
        name: as shown: the element's name, or words in brackets for CPU of no element.
        factory: "" for CPU of no element.
        path: "/pipeline0/bin0/x264enc0"; "" for CPU of no element.
        pipeline: name of the topmost bin; "" where there is none.
        kind: enum gp_label_kind, lowered: element, state_change, main, pool, task, thread, agent, before, unseen,
            overflow, loading.
    """

    name: str
    factory: str = ""
    path: str = ""
    pipeline: str = ""
    kind: str = "element"


FIXED_NAMES: Final = {
    "main": "[main thread]",
    "pool": "[GLib pool]",
    "task": "[GStreamer task]",
    "thread": "[other threads]",
    "agent": "[gst-pyro agent]",
    "before": "[before the tracer]",
    "unseen": "[unseen threads]",
    "overflow": "[too many labels]",
    "loading": "[loading plugins]",
}
UNSEEN: Final = Label(FIXED_NAMES["unseen"], kind="unseen")
UNLABELLED: Final = Label(FIXED_NAMES["thread"], kind="thread")


class Step(NamedTuple):
    """An element, or one of the bins around it, as the segment has it.

    Attributes:
        key: its label and the label's serial as one number.
        kind: as in `Label`; of a bin "state_change", or "own_work" for what it does itself.
        name: of the element.
        factory: "" where it has none.
        auto_named: GStreamer made the name.
    """

    key: int
    kind: str
    name: str
    factory: str
    auto_named: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of the host. `slot` and `serial` name it; a kernel's `tid` is reused."""

    slot: int
    serial: int
    tid: int
    comm: str


@dataclass(frozen=True, slots=True)
class Account:
    """CPU time of one thread under one label that was not told before.

    Attributes:
        slot: of the thread.
        serial: of the slot.
        label: its key (see `segment.label_key`).
        ns: CPU time.
        has_ended: this was the last of it: the thread has ended, or the element is gone.
    """

    slot: int
    serial: int
    label: int
    ns: int
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Module:
    """An ELF object, where it was loaded and in which generations of the module list.

    Attributes:
        start: first run-time address of its code.
        end: first address behind it.
        bias: run-time address minus ELF address.
        path: of its file.
        build_id: hex, "" where it has none.
        added: generation in which it came.
        removed: generation in which it went; 0: still there.
    """

    start: int
    end: int
    bias: int
    path: str
    build_id: str
    added: int
    removed: int

    @property
    def key(self) -> tuple[str, str]:
        """What tells files apart: path and build id."""
        return self.path, self.build_id


@dataclass(frozen=True, slots=True)
class HostName:
    """A function's name that the host has and no file.

    Attributes:
        address: run-time address at which the function, or the range, begins.
        bytes: of code in no file; 0: a function in a module.
        text: its name.
        generation: of the module list, when it was named.
    """

    address: int
    bytes: int
    text: str
    generation: int


@dataclass(frozen=True, slots=True)
class Drained:
    """What left the ring.

    Attributes:
        data: whole records (struct gp_record), one behind the other.
        unfinished: records skipped because nobody will ever finish them.
        corrupt_words: thrown away.
    """

    data: bytes
    unfinished: int
    corrupt_words: int
