# SPDX-License-Identifier: MIT
"""The memory shared with the shim: threads, accounts, records and control; labels and modules by its parts.

Context: agent, one thread (`log`: any). Nothing here needs the host to be alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.segment import abi
from gst_pyro_shim.segment.abi import label_key
from gst_pyro_shim.segment.host_code import HostCode
from gst_pyro_shim.segment.label_table import LabelTable
from gst_pyro_shim.segment.native import Reader
from gst_pyro_shim.segment.rows import Account, Drained, SampleClock, Thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Home = Literal["embedded", "process", "controller"]
"""Where an agent runs: in the host, in a process of its own, or in the controller."""

HOST_STOPPING: Final = abi.constant("GP_HOST_STOPPING")
HOST_INERT: Final = abi.constant("GP_HOST_INERT")
AGENT_RUNNING: Final = abi.constant("GP_AGENT_RUNNING")
AGENT_DONE: Final = abi.constant("GP_AGENT_DONE")
AGENT_REFUSED: Final = abi.constant("GP_AGENT_REFUSED")
_PYTHON_NONE: Final = abi.constant("GP_PYTHON_NONE")
_PYTHON_SAMPLED: Final = abi.constant("GP_PYTHON_SAMPLED")
_PYTHON_PUSHED: Final = abi.constant("GP_PYTHON_PUSHED")

_COUNTER_NAMES: Final = abi.enum_names("gp_counter", "GP_COUNTER_")
_CLOCK_NAMES: Final = abi.enum_names("gp_clock", "GP_CLOCK_")
_SLOT_ENDED: Final = abi.constant("GP_SLOT_ENDED")

_MIN_CLOCK_STEP_NS: Final = 1_000_000_000
"""A smaller difference is drift; following it would leave gaps between windows."""

# GStreamer's levels of debug log.
_GST_LEVELS: Final = {"error": 1, "warning": 2, "info": 4, "debug": 5}


class Segment:
    """A mapped segment.

    Attributes:
        labels: its table of labels.
        code: its lists of modules and of names.
        pid: of the host.
        program: the host's executable, without folders.
        start_mono_ns: when the tracer started, CLOCK_MONOTONIC, ns.
        start_real_ns: the same, ns since 1970.
        sample_rate: Hz, as the shim read it.
    """

    def __init__(self, reader: Reader) -> None:
        """Wraps a mapped segment; `from_fd` maps it."""
        self._reader = reader
        self._raw = reader.raw
        self.labels = LabelTable(reader)
        self.code = HostCode(reader)
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
            SegmentError: it is no segment, or one of another version.
        """
        reader = Reader.from_fd(fd)
        if isinstance(reader, str):
            raise SegmentError(f"The memory shared with the shim cannot be used: {reader}.")
        return cls(reader)

    def close(self) -> None:
        """Unmaps it; nothing else may be used afterwards."""
        self._reader.close()

    def params(self) -> dict[str, str]:
        """The tracer's parameters, value by name."""
        words = self._reader.params().split(b"\0")
        out: dict[str, str] = {}
        for key, value in zip(words[::2], words[1::2], strict=False):
            if not key:
                break
            out[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        return out

    # Threads, accounts, links

    def threads(self, *, ended_only: bool = False) -> list[Thread]:
        """Threads that have a slot: live ones, and ended ones whose slot is not freed yet.

        Args:
            ended_only: live threads are left out.
        """
        return [
            Thread(slot, serial, tid, comm.partition(b"\0")[0].decode("utf-8", "replace"))
            for slot, _, serial, tid, comm in self._reader.threads(ended_only=ended_only)
        ]

    def free_threads(self, slots: Iterable[int]) -> None:
        """Frees slots of ended threads.

        Args:
            slots: of threads whose accounts have been taken.
        """
        self._reader.free_threads(list(slots))

    def take_accounts(self, *, ended_only: bool = False) -> Iterator[Account]:
        """Accounts with CPU time that no earlier call reported, and accounts that have ended, whose rows are freed.

        The total of a live account may step back a little. Nothing is reported then until it exceeds its former
        maximum, so the sum of all reported amounts is the greatest total that was read.

        Args:
            ended_only: live accounts are left for a later call.
        """
        for state, label, label_serial, slot, serial, _, ns in self._reader.take_accounts(
            ended_only=ended_only
        ):
            yield Account(
                slot, serial, label_key(label, label_serial), ns, has_ended=state == _SLOT_ENDED
            )

    def take_overflows(self) -> Iterator[tuple[int, int]]:
        """CPU time that no account holds and no earlier call reported: (key of the label, ns)."""
        for label, serial, ns in self._reader.take_overflows():
            yield label_key(label, serial), ns

    def take_links(self) -> Iterator[tuple[int, int]]:
        """Keys of labels whose elements are linked, upstream one first, in the order in which they were found."""
        for source, source_serial, sink, sink_serial in self._reader.take_links():
            yield label_key(source, source_serial), label_key(sink, sink_serial)

    # The ring

    @property
    def head(self) -> int:
        """Words of the ring that writers have reserved so far."""
        return self._reader.head()

    @property
    def tail(self) -> int:
        """Words of the ring drained so far."""
        return self._reader.tail()

    def drain(self, *, final: bool = False) -> Drained:
        """The next records, about a MiB at most; without `data` once the ring is empty.

        Args:
            final: no writer is alive any more: unfinished records are skipped.
        """
        return Drained(*self._reader.drain(final=final))

    # Control

    def wait(self, seen: int, timeout_s: float) -> int:
        """Waits until the shim raises `wake` above `seen`, at most `timeout_s`; returns its value."""
        return self._reader.wait(seen, max(0, int(timeout_s * 1000)))

    def end_wait(self) -> None:
        """Ends `wait` in another thread."""
        self._reader.wake()

    @property
    def wake(self) -> int:
        """The word that the shim raises to wake the agent."""
        return self._raw.wake

    def request_close(self, timeout_s: float) -> bool:
        """Has the shim close all accounts now; False where it did not within `timeout_s`."""
        return self._reader.request_close(int(timeout_s * 1000))

    @property
    def close_mono_ns(self) -> int:
        """When the accounts were last closed, CLOCK_MONOTONIC, ns; 0: never."""
        return self._raw.close_mono_ns

    @property
    def process_cpu_ns(self) -> int:
        """CPU time of the host at that moment, ns."""
        return self._raw.process_cpu_ns

    @property
    def is_stopping(self) -> bool:
        """The shim has made its last close, or has become inert."""
        return self._reader.host_state() in {HOST_STOPPING, HOST_INERT}

    def set_agent_state(self, state: int) -> None:
        """Publishes the agent's state, and wakes the shim where it waits for it."""
        self._reader.set_agent_state(state)

    def log(self, level: str, text: str) -> None:
        """Writes a line for GStreamer's debug log (`GST_DEBUG=pyroscope:5`). MT-safe.

        Raises:
            KeyError: the level is not error, warning, info or debug.
        """
        self._reader.log(_GST_LEVELS[level], text)

    # Clocks and counters

    def wall_ns(self, mono_ns: int) -> int:
        """A CLOCK_MONOTONIC time as ns since 1970, by what the wall clock shows now.

        The wall clock may have been set since the start (a device without a battery begins in 1970), and
        CLOCK_MONOTONIC does not advance while the machine sleeps. Servers refuse what is an hour old.
        """
        offset = abi.real_ns() - abi.mono_ns()
        if abs(offset - self._wall_offset_ns) > _MIN_CLOCK_STEP_NS:
            self._wall_offset_ns = offset
        return mono_ns + self._wall_offset_ns

    def now_mono_ns(self) -> int:
        """CLOCK_MONOTONIC from the kernel, ns: the same in host and agent."""
        return abi.mono_ns()

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
        """Number of threads ever registered."""
        return self._raw.threads_seen

    def counters(self) -> dict[str, int]:
        """The shim's counters by wire name."""
        raw = self._raw.counters
        return {name: raw[index] for index, name in sorted(_COUNTER_NAMES.items())}

    # Python hosts

    @property
    def has_entered_python(self) -> bool:
        """A thread of the host has run Python, and Python's samples are wanted."""
        return self._raw.python_state != _PYTHON_NONE

    @property
    def python_was_sampled(self) -> bool:
        """Our pyroscope-io has been started in the host."""
        return self._raw.python_state in {_PYTHON_SAMPLED, _PYTHON_PUSHED}

    @property
    def python_was_pushed(self) -> bool:
        """It has ended, and has pushed all that it had."""
        return self._raw.python_state == _PYTHON_PUSHED

    def offer_python(self, config: dict[str, str]) -> None:
        """Publishes the configuration with which the host starts host_python.py, value by name."""
        words = [word for pair in config.items() for word in pair]
        raw = "\0".join([*words, ""]).encode("utf-8", "surrogateescape")
        self._reader.offer_python(raw)
