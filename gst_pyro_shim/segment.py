# SPDX-License-Identifier: MIT
"""The memory shared with the shim, as the agent sees it: labels, threads, accounts, modules, records, control.

Context: agent, one thread (`log`: any). Nothing here needs the host to be alive.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from gst_pyro_shim import native
from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.native import Reader
from gst_pyro_shim.segment_rows import (
    FIXED_NAMES,
    UNLABELLED,
    Account,
    Drained,
    HostName,
    Label,
    Module,
    Thread,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.stats import SampleClock

Home = Literal["embedded", "process", "controller"]

HOST_STOPPING: Final = native.constant("GP_HOST_STOPPING")
HOST_INERT: Final = native.constant("GP_HOST_INERT")
AGENT_RUNNING: Final = native.constant("GP_AGENT_RUNNING")
AGENT_DONE: Final = native.constant("GP_AGENT_DONE")
AGENT_REFUSED: Final = native.constant("GP_AGENT_REFUSED")

_COUNTER_NAMES: Final = native.enum_names("gp_counter", "GP_COUNTER_")
_CLOCK_NAMES: Final = native.enum_names("gp_clock", "GP_CLOCK_")
_LABEL_KINDS: Final = native.enum_names("gp_label_kind", "GP_LABEL_")
_MAX_LABELS: Final = native.constant("GP_LABELS")
_MAX_MODULES: Final = native.constant("GP_MODULES")

_STEP_NS: Final = 1_000_000_000
"""Less is drift, and following it would leave gaps between windows."""

# GStreamer's levels of debug log.
_GST_LEVELS: Final = {"error": 1, "warning": 2, "info": 4, "debug": 5}


class Segment:
    """A mapped segment.

    Attributes:
        pid: of the host.
        program: the host's executable, without folders.
        start_mono_ns: when the tracer came up, CLOCK_MONOTONIC.
        start_real_ns: the same, ns since 1970.
        sample_rate: Hz, as the shim took it.
    """

    def __init__(self, reader: Reader) -> None:
        """Wraps a mapped segment; `from_fd` maps it."""
        self._reader = reader
        self._raw = reader.raw
        self._labels: dict[int, Label] = {}
        self._modules: list[Module] = []
        self.pid = self._raw.host_pid
        self.program = reader.program()
        self.start_mono_ns = self._raw.start_mono_ns
        self.start_real_ns = self._raw.start_real_ns
        self._wall_offset_ns = self.start_real_ns - self.start_mono_ns
        self.sample_rate = self._raw.sample_rate_hz

    @classmethod
    def from_fd(cls, fd: int) -> Segment:
        """Maps the segment of a descriptor, which may be closed afterwards.

        Raises:
            SegmentError: it is none, or one of another version.
        """
        reader = Reader.from_fd(fd)
        if isinstance(reader, str):
            raise SegmentError(f"The memory shared with the shim cannot be used: {reader}.")
        return cls(reader)

    def close(self) -> None:
        """Unmaps it; nothing else may be used afterwards."""
        self._reader.close()

    def params(self) -> dict[str, str]:
        """The tracer's parameters."""
        words = self._reader.params().split(b"\0")
        out: dict[str, str] = {}
        for key, value in zip(words[::2], words[1::2], strict=False):
            if not key:
                break
            out[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        return out

    def label(self, number: int) -> Label:
        """A label by its id; one that the shim has not published reads as CPU of no element."""
        known = self._labels.get(number)
        if known is not None:
            return known
        if not 0 < number < min(self._raw.label_count, _MAX_LABELS):
            return UNLABELLED
        row, text = self._raw.labels[number], self._reader.text
        kind, name, path = _LABEL_KINDS.get(row.kind, "thread"), text(row.name), text(row.path)
        if kind == "element":
            factory, pipeline = text(row.factory), text(row.pipeline)
            label = Label(name, factory, path, pipeline, kind)
        elif kind == "state_change":
            label = Label(f"[state change of {name}]", "", "", text(row.pipeline), kind)
        else:
            label = Label(FIXED_NAMES[kind], kind=kind)
        self._labels[number] = label
        return label

    def threads(self, *, ended_only: bool = False) -> list[Thread]:
        """Threads that have a slot: alive, or ended and not yet given back by `free`."""
        return [
            Thread(slot, serial, tid, comm.partition(b"\0")[0].decode("utf-8", "replace"))
            for slot, _, serial, tid, comm in self._reader.threads(ended_only=ended_only)
        ]

    def accounts(self, *, ended_only: bool = False) -> list[Account]:
        """Accounts of these threads. Totals of live ones may step back a little between two calls."""
        return [
            Account(slot, serial, label, total_ns)
            for _, label, slot, serial, total_ns in self._reader.accounts(ended_only=ended_only)
        ]

    def overflows(self) -> dict[int, int]:
        """CPU that no account holds, ns since the start, by label."""
        return dict(self._reader.overflows())

    def free(self, slots: Iterable[int]) -> None:
        """Gives slots of ended threads, and their accounts, back to the shim."""
        self._reader.free(list(slots))

    def modules(self) -> list[Module]:
        """All that were ever loaded, in the order in which they came."""
        raw, text = self._raw, self._reader.text
        for index, known in enumerate(self._modules):
            removed = raw.modules[index].removed
            if removed != known.removed:
                self._modules[index] = Module(
                    known.start,
                    known.end,
                    known.bias,
                    known.path,
                    known.build_id,
                    known.added,
                    removed,
                )
        for index in range(len(self._modules), min(raw.module_count, _MAX_MODULES)):
            row = raw.modules[index]
            path, build_id = text(row.path), text(row.build_id)
            self._modules.append(
                Module(row.start, row.end, row.bias, path, build_id, row.added, row.removed)
            )
        return list(self._modules)

    def names(self, first: int) -> list[HostName]:
        """Names that the host has for its functions, from the `first`th on, in the order in which they came."""
        raw, text = self._raw, self._reader.text
        rows = (raw.names[index] for index in range(first, self._reader.names()))
        return [HostName(row.address, row.bytes, text(row.text), row.generation) for row in rows]

    def links(self, first: int) -> list[tuple[Label, Label]]:
        """Elements that are linked, upstream one first, from the `first`th on, in the order in which they were met."""
        raw = self._raw
        rows = (raw.links[index] for index in range(first, self._reader.links()))
        return [(self.label(row.source), self.label(row.sink)) for row in rows]

    @property
    def generation(self) -> int:
        """Of the module list; it changes whenever something was loaded or unloaded."""
        return self._raw.generation

    @property
    def head(self) -> int:
        """Words that writers have reserved in the ring so far."""
        return self._reader.head()

    @property
    def tail(self) -> int:
        """Words drained so far."""
        return self._reader.tail()

    def drain(self, *, final: bool = False) -> Drained:
        """The next records, about a MiB at most; without `data` once there are none.

        Args:
            final: no writer is alive any more: what is unfinished is skipped.
        """
        return Drained(*self._reader.drain(final=final))

    def wait(self, seen: int, timeout_s: float) -> int:
        """Waits until the shim raises `wake` above `seen`; returns its value."""
        return self._reader.wait(seen, max(0, int(timeout_s * 1000)))

    @property
    def wake(self) -> int:
        """The word that the shim raises to wake the agent."""
        return self._raw.wake

    def request_close(self, timeout_s: float) -> bool:
        """Has all accounts closed as of now; False where the shim did not answer in time."""
        return self._reader.request_close(int(timeout_s * 1000))

    @property
    def close_mono_ns(self) -> int:
        """When the accounts were last closed, CLOCK_MONOTONIC; 0: never."""
        return self._raw.close_mono_ns

    @property
    def process_cpu_ns(self) -> int:
        """CPU time of the host at that moment."""
        return self._raw.process_cpu_ns

    def wall_ns(self, mono_ns: int) -> int:
        """A CLOCK_MONOTONIC time as ns since 1970, as the clock stands now.

        It may have been set since the start (a device without a battery begins in 1970), and CLOCK_MONOTONIC stands
        still while the machine sleeps: servers refuse what is an hour old.
        """
        offset = time.time_ns() - time.monotonic_ns()
        if abs(offset - self._wall_offset_ns) > _STEP_NS:
            self._wall_offset_ns = offset
        return mono_ns + self._wall_offset_ns

    def now_mono_ns(self) -> int:
        """CLOCK_MONOTONIC, the same in host and agent."""
        return time.monotonic_ns()

    @property
    def is_stopping(self) -> bool:
        """The shim has made its last close, or has given up."""
        return self._reader.host_state() in {HOST_STOPPING, HOST_INERT}

    @property
    def sample_clock(self) -> SampleClock:
        """What paces the samples."""
        name: SampleClock
        for name in ("perf", "timer"):
            if _CLOCK_NAMES.get(self._raw.clock) == name:
                return name
        return "none"

    @property
    def threads_seen(self) -> int:
        """Threads ever registered."""
        return self._raw.threads_seen

    def counters(self) -> dict[str, int]:
        """The shim's counts by wire name."""
        raw = self._raw.counters
        return {name: raw[index] for index, name in sorted(_COUNTER_NAMES.items())}

    def set_agent_state(self, state: int) -> None:
        """Tells the shim, and wakes it where it waits."""
        self._reader.set_agent_state(state)

    @property
    def has_entered_python(self) -> bool:
        """A thread of the host has run Python, and its samples are of use."""
        return bool(self._raw.python_entered)

    def offer_python(self, config: dict[str, str]) -> None:
        """Gives the host what host_python.py starts with."""
        words = [word for pair in config.items() for word in pair]
        raw = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        self._reader.offer_python(raw)

    def log(self, level: str, text: str) -> None:
        """A line for GStreamer's debug log (`GST_DEBUG=pyroscope:5`). MT-safe."""
        self._reader.log(_GST_LEVELS[level], text)
