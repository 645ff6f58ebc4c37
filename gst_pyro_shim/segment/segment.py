# SPDX-License-Identifier: MIT
"""The memory shared with the shim, as the agent sees it: labels, threads, accounts, modules, records, control.

Context: agent, one thread (`log`: any). Nothing here needs the host to be alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.segment import native
from gst_pyro_shim.segment.native import Reader
from gst_pyro_shim.segment.rows import Account, Drained, HostName, Module, SampleClock, Step, Thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Home = Literal["embedded", "process", "controller"]

HOST_STOPPING: Final = native.constant("GP_HOST_STOPPING")
HOST_INERT: Final = native.constant("GP_HOST_INERT")
AGENT_RUNNING: Final = native.constant("GP_AGENT_RUNNING")
AGENT_DONE: Final = native.constant("GP_AGENT_DONE")
AGENT_REFUSED: Final = native.constant("GP_AGENT_REFUSED")
_PYTHON_NONE: Final = native.constant("GP_PYTHON_NONE")
_PYTHON_SAMPLED: Final = native.constant("GP_PYTHON_SAMPLED")
_PYTHON_PUSHED: Final = native.constant("GP_PYTHON_PUSHED")

_COUNTER_NAMES: Final = native.enum_names("gp_counter", "GP_COUNTER_")
_CLOCK_NAMES: Final = native.enum_names("gp_clock", "GP_CLOCK_")
_LABEL_KINDS: Final = native.enum_names("gp_label_kind", "GP_LABEL_")
_MAX_LABELS: Final = native.constant("GP_LABELS")
_LABEL_BITS: Final = native.constant("GP_LABEL_BITS")
_LABEL_MASK: Final = (1 << _LABEL_BITS) - 1
_SLOT_LIVE: Final = native.constant("GP_SLOT_LIVE")
_SLOT_FREE: Final = native.constant("GP_SLOT_FREE")
_SLOT_ENDED: Final = native.constant("GP_SLOT_ENDED")
_MAX_DEPTH: Final = 64
"""Of bins in bins, as in csrc/shim/labels/label_rows.c."""
_MAX_MODULES: Final = native.constant("GP_MODULES")

_STEP_NS: Final = 1_000_000_000
"""Less is drift, and following it would leave gaps between windows."""

# GStreamer's levels of debug log.
_GST_LEVELS: Final = {"error": 1, "warning": 2, "info": 4, "debug": 5}


def label_key(number: int, serial: int) -> int:
    """A label and its serial as one number: what drained records and rows name it by."""
    return serial << _LABEL_BITS | number


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

    def path(self, key: int) -> list[Step]:
        """An element with the bins around it, as they are now, outermost first.

        What a bin does itself has a label beside the bin's own: the last step is the bin then, of kind "own_work".

        Args:
            key: of its label; empty for one that the shim has not published, or whose row is another's by now.
        """
        found: list[Step] = []
        number, serial = key & _LABEL_MASK, key >> _LABEL_BITS
        while 0 < number < _MAX_LABELS and len(found) < _MAX_DEPTH:
            row, text = self._raw.labels[number], self._reader.text
            if row.state == _SLOT_FREE or row.serial != serial >= 0:
                break
            if row.is_own_work and not found:
                bin_path = self.path(self._key_of(row.parent))
                return [*bin_path[:-1], *(one._replace(kind="own_work") for one in bin_path[-1:])]
            found.append(
                Step(
                    label_key(number, row.serial),
                    _LABEL_KINDS.get(row.kind, "thread"),
                    text(row.name),
                    text(row.factory),
                    bool(row.auto_named),
                )
            )
            number, serial = row.parent, -1
        return found[::-1]

    def _key_of(self, number: int) -> int:
        return label_key(number, self._raw.labels[number].serial)

    def is_gone(self, key: int) -> bool:
        """Whether the element of a label is no more."""
        row = self._raw.labels[key & _LABEL_MASK]
        return row.serial != key >> _LABEL_BITS or bool(row.gone) or row.state != _SLOT_LIVE

    @property
    def labels_moved(self) -> int:
        """How often an element that had a label already came into another bin."""
        return self._raw.labels_moved

    def ended_labels(self) -> list[int]:
        """Keys of labels that have ended: nothing more will come of them but what the shim has written already."""
        return [self._key_of(one) for one in self._reader.ended_labels()]

    def free_labels(self, keys: Iterable[int]) -> None:
        """Gives labels back that have ended, and of which records, accounts and links have been taken."""
        self._reader.free_labels(list(keys))

    def threads(self, *, ended_only: bool = False) -> list[Thread]:
        """Threads that have a slot: alive, or ended and not yet given back by `free`."""
        return [
            Thread(slot, serial, tid, comm.partition(b"\0")[0].decode("utf-8", "replace"))
            for slot, _, serial, tid, comm in self._reader.threads(ended_only=ended_only)
        ]

    def take_accounts(self, *, ended_only: bool = False) -> Iterator[Account]:
        """Accounts with CPU that was not told before, and ended ones, whose rows are given back.

        Totals of live ones may step back a little: then nothing is told until they have passed their old height, so
        that the sum of all amounts is the greatest total that was seen.

        Args:
            ended_only: the others are left for a later call.
        """
        for state, label, label_serial, slot, serial, _, ns in self._reader.take_accounts(
            ended_only=ended_only
        ):
            yield Account(
                slot, serial, label_key(label, label_serial), ns, has_ended=state == _SLOT_ENDED
            )

    def take_overflows(self) -> Iterator[tuple[int, int]]:
        """CPU that no account holds and that was not told before: (key of the label, ns)."""
        for label, serial, ns in self._reader.take_overflows():
            yield label_key(label, serial), ns

    def take_links(self) -> Iterator[tuple[int, int]]:
        """Keys of labels whose elements are linked, upstream one first, in the order in which they were met."""
        for source, source_serial, sink, sink_serial in self._reader.take_links():
            yield label_key(source, source_serial), label_key(sink, sink_serial)

    def free_threads(self, slots: Iterable[int]) -> None:
        """Gives slots of ended threads back to the shim; their accounts have been taken."""
        self._reader.free_threads(list(slots))

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
        offset = native.real_ns() - native.mono_ns()
        if abs(offset - self._wall_offset_ns) > _STEP_NS:
            self._wall_offset_ns = offset
        return mono_ns + self._wall_offset_ns

    def now_mono_ns(self) -> int:
        """CLOCK_MONOTONIC as the kernel tells it, the same in host and agent."""
        return native.mono_ns()

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
        return self._raw.python_state != _PYTHON_NONE

    @property
    def python_was_sampled(self) -> bool:
        """Our pyroscope-io is up in the host, or was."""
        return self._raw.python_state in {_PYTHON_SAMPLED, _PYTHON_PUSHED}

    @property
    def python_was_pushed(self) -> bool:
        """It has ended, and has pushed all that it had."""
        return self._raw.python_state == _PYTHON_PUSHED

    def offer_python(self, config: dict[str, str]) -> None:
        """Gives the host what host_python.py starts with."""
        words = [word for pair in config.items() for word in pair]
        raw = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        self._reader.offer_python(raw)

    def log(self, level: str, text: str) -> None:
        """A line for GStreamer's debug log (`GST_DEBUG=pyroscope:5`). MT-safe."""
        self._reader.log(_GST_LEVELS[level], text)
