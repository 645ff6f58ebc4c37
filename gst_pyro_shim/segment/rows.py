# SPDX-License-Identifier: MIT
"""Rows of the segment as plain data: labels, threads, accounts, modules, names, drained records.

Context: agent. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

SampleClock = Literal["", "none", "perf", "timer"]
"""What paces the samples (abi.h, enum gp_clock, in lower case); "" where it is not known."""


@dataclass(frozen=True, slots=True)
class Label:
    """What was running: an element, or one of the kinds of CPU time of no element.

    Attributes:
        name: as shown: the element's name, or words in brackets for CPU time of no element.
        factory: "" for CPU time of no element.
        path: "/pipeline0/bin0/x264enc0"; "" for CPU time of no element.
        pipeline: name of the topmost bin; "" where there is none.
        kind: enum gp_label_kind in lower case: element, state_change, main, pool, task, thread, agent, before, unseen,
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
    """An element, or one of the bins around it, as its label's row describes it.

    Attributes:
        key: of its label (`abi.label_key`).
        kind: as in `Label`; of a bin "state_change", or "own_work" for the bin's own work.
        name: of the element.
        factory: "" where it has none.
        auto_named: GStreamer made up the name.
    """

    key: int
    kind: str
    name: str
    factory: str
    auto_named: bool


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread of the host, identified by `slot` and `serial`: a `tid` is reused.

    Attributes:
        slot: its row in the segment.
        serial: of the slot; tells successive threads of one slot apart.
        tid: the kernel's id, 0 where unknown.
        comm: the kernel's name of the thread.
    """

    slot: int
    serial: int
    tid: int
    comm: str


@dataclass(frozen=True, slots=True)
class Account:
    """CPU time of one thread under one label that was not reported before.

    Attributes:
        slot: of the thread.
        serial: of the slot.
        label: its key (`abi.label_key`).
        ns: CPU time.
        has_ended: nothing more will come: the thread has ended, or the element no longer exists.
    """

    slot: int
    serial: int
    label: int
    ns: int
    has_ended: bool


@dataclass(frozen=True, slots=True)
class Module:
    """An ELF object: where it was loaded, and in which generations of the module list.

    Attributes:
        start: first run-time address of its code.
        end: first address after it.
        bias: run-time address minus ELF address.
        path: of its file.
        build_id: hex, "" where it has none.
        added: generation in which it was loaded.
        removed: generation in which it was unloaded; 0: it is still loaded.
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
        """Identifies its file: path and build id."""
        return self.path, self.build_id


@dataclass(frozen=True, slots=True)
class HostName:
    """A function's name that the host knows and no file contains.

    Attributes:
        address: run-time address at which the function, or the range, begins.
        bytes: length of a range of code that is in no file; 0: a function in a module.
        text: its name.
        generation: of the module list, when it was named.
    """

    address: int
    bytes: int
    text: str
    generation: int


@dataclass(frozen=True, slots=True)
class Drained:
    """What one call drained from the ring.

    Attributes:
        data: whole records (struct gp_record), one after the other.
        unfinished: number of records skipped because their writer is dead.
        corrupt_words: number of words discarded.
    """

    data: bytes
    unfinished: int
    corrupt_words: int
