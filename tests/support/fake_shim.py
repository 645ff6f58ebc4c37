# SPDX-License-Identifier: MIT
"""A shim in Python: writes a segment as csrc/shared/abi.h says, for tests of the agent's side."""

from __future__ import annotations

import mmap
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from gst_pyro_shim import _native

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

ffi: Any = _native.ffi
lib: Any = _native.lib

LIVE, ENDED = 1, 2
RING_WORDS: int = lib.GP_RING_WORDS
RECORD_BYTES = 32
TAGGED = 1 << 63
UNKNOWN = TAGGED | lib.GP_FRAME_UNKNOWN << 56
TRUNCATED = TAGGED | lib.GP_FRAME_TRUNCATED << 56


def label_tag(number: int) -> int:
    """Of a label's number, as the shim writes it, or of its key, as it is drained."""
    return TAGGED | lib.GP_FRAME_LABEL << 56 | number


def exact(pc: int) -> int:
    return TAGGED | lib.GP_FRAME_EXACT << 56 | pc


def _take(taken: Any, bits: Any, row: int) -> None:
    """As csrc/shared/row_table.h: the row is in use."""
    bits[row // 64] |= 1 << row % 64
    taken.words_used = max(taken.words_used, row // 64 + 1)


class FakeShim:
    """One segment; a context manager. `fd` is its descriptor, `raw` its fields."""

    def __init__(self, *, rate: int = 100, params: bytes = b"") -> None:
        self.fd = os.memfd_create("gst-pyro")
        size = ffi.sizeof("struct gp_segment")
        os.ftruncate(self.fd, size)
        self._map = mmap.mmap(self.fd, size)
        self.raw = ffi.from_buffer("struct gp_segment *", self._map)
        self.raw.magic = int.from_bytes(b"gstpyro\0", "little")
        self.raw.abi_version = lib.GP_ABI_VERSION
        self.raw.bytes = size
        self.raw.host_pid = os.getpid()
        self.raw.sample_rate_hz = rate
        self.raw.start_mono_ns = time.monotonic_ns()
        self.raw.start_real_ns = time.time_ns()
        self.raw.clock = lib.GP_CLOCK_TIMER
        self.raw.host_state = lib.GP_HOST_RUNNING
        self.raw.strings_used = 1
        self._labels = self._threads = self._accounts = self._pipeline = 0
        ffi.memmove(self.raw.program, b"fake", 5)
        ffi.memmove(self.raw.params, params, len(params))
        self._poller: threading.Thread | None = None
        self._end = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._poller is not None:
            self._poller.join()
        ffi.release(self.raw)
        self._map.close()
        os.close(self.fd)

    def hand_in(self, address: str, **variables: str) -> None:
        """As csrc/shim/home/handover.c does; `address` is what GST_PYROSCOPE_CONTROLLER says."""
        name, _, word = address.partition(" ")
        lines = [word, *(f"{key}={value}" for key, value in variables.items()), ""]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(f"\0{name}")
            socket.send_fds(connection, ["\0".join(lines).encode()], [self.fd, 2])

    def text(self, text: str) -> int:
        data = text.encode() + b"\0"
        at: int = self.raw.strings_used
        ffi.memmove(self.raw.strings + at, data, len(data))
        self.raw.strings_used = at + len(data)
        return at

    def label(
        self,
        kind: str,
        name: str = "",
        factory: str = "",
        parent: int = 0,
        *,
        auto_named: bool = False,
        number: int | None = None,
    ) -> int:
        """A new label, or the next user of a row that the agent has freed."""
        if number is None:
            self._labels += 1
            number = self._labels
        row = self.raw.labels[number]
        row.serial += 1
        row.kind = getattr(lib, f"GP_LABEL_{kind.upper()}")
        row.name, row.factory = self.text(name), self.text(factory)
        row.parent, row.auto_named, row.gone = parent, auto_named, 0
        row.state = LIVE
        _take(self.raw.labels_taken, self.raw.label_bits, number)
        return number

    def bin(self, name: str, parent: int = 0, factory: str = "bin", **more: Any) -> int:
        return self.label("state_change", name, factory, parent, **more)

    def element(
        self, name: str, factory: str = "thing", parent: int | None = None, **more: Any
    ) -> int:
        """In pipeline0 where no bin is named."""
        if parent is None:
            parent = self._pipeline = self._pipeline or self.bin("pipeline0", factory="pipeline")
        return self.label("element", name, factory, parent, **more)

    def own_work(self, bin_label: int) -> int:
        """What a bin does itself."""
        number = self.label("element", "", "bin", bin_label)
        self.raw.labels[number].is_own_work = 1
        return number

    def key(self, number: int) -> int:
        """A label's key."""
        return self.raw.labels[number].serial << lib.GP_LABEL_BITS | number

    def end_label(self, number: int) -> None:
        """The element is gone, and so is all that refers to it."""
        for index in range(self._accounts):
            row = self.raw.accounts[index]
            if row.label == number and row.state == LIVE:
                row.state = ENDED
        self.raw.labels[number].gone = 1
        self.raw.labels[number].state = ENDED

    def link(self, source: int, sink: int) -> None:
        row = self.raw.links[self.raw.links_written % lib.GP_LINKS]
        row.source, row.sink = source, sink
        self.raw.links_written += 1

    def move(self, number: int, parent: int) -> None:
        self.raw.labels[number].parent = parent
        self.raw.labels_moved += 1

    def module(self, start: int, end: int, bias: int, path: str, build_id: str = "") -> int:
        number: int = self.raw.module_count
        self.raw.generation += 1
        row = self.raw.modules[number]
        row.start, row.end, row.bias = start, end, bias
        row.path, row.build_id = self.text(path), self.text(build_id)
        row.added = self.raw.generation
        self.raw.module_count = number + 1
        return number

    def unload(self, number: int) -> None:
        self.raw.generation += 1
        self.raw.modules[number].removed = self.raw.generation

    def thread(self, tid: int, comm: str, slot: int | None = None) -> int:
        if slot is None:
            slot = self._threads
            self._threads += 1
        row = self.raw.threads[slot]
        row.serial += 1
        row.tid = tid
        ffi.memmove(row.comm, comm.encode().ljust(16, b"\0")[:16], 16)
        row.state = LIVE
        _take(self.raw.threads_taken, self.raw.thread_bits, slot)
        return slot

    def account(self, slot: int, label: int, ns: int = 0, number: int | None = None) -> int:
        """A new row, or the next user of one that the agent has freed."""
        if number is None:
            number = self._accounts
            self._accounts += 1
        row = self.raw.accounts[number]
        row.thread, row.label, row.ns, row.closed_ns = slot, label, ns, 0
        row.serial = self.raw.threads[slot].serial
        row.state = LIVE
        _take(self.raw.accounts_taken, self.raw.account_bits, number)
        return number

    def end_thread(self, slot: int) -> None:
        for number in range(self._accounts):
            row = self.raw.accounts[number]
            if row.thread == slot and row.state == LIVE:
                row.state = ENDED
        self.raw.threads[slot].state = ENDED

    def record(
        self,
        slot: int,
        label: int,
        frames: Sequence[int],
        *,
        weight: int = 1,
        state: int = lib.GP_RECORD_COMMITTED,
        serial: int | None = None,
    ) -> None:
        """Writes one record as csrc/shim/signal/ring.h does."""
        words = (4 + len(frames) + 3) & ~3
        at = self.raw.head % RING_WORDS
        if at + words > RING_WORDS:
            filler = self._at(at)
            filler.words, filler.thread = RING_WORDS - at, 0xFFFFFFFF
            filler.state = lib.GP_RECORD_COMMITTED
            self.raw.head += RING_WORDS - at
            at = 0
        if self.raw.head + words - self.raw.released > RING_WORDS:
            raise BufferError
        self.raw.head += words
        row = self._at(at)
        if state == lib.GP_RECORD_EMPTY:
            return
        row.words = words
        row.thread, row.label, row.weight = slot, label, weight
        row.serial = self.raw.threads[slot].serial if serial is None else serial
        row.generation, row.depth = self.raw.generation, len(frames)
        ffi.memmove(row.frames, ffi.new("uint64_t[]", list(frames)), 8 * len(frames))
        row.state = state

    def _at(self, word: int) -> Any:
        return ffi.cast("struct gp_record *", self.raw.ring + word)

    def close_accounts(self, process_ns: int | None = None) -> None:
        """What the poller does when the agent asks."""
        total = 0
        for number in range(self._accounts):
            row = self.raw.accounts[number]
            row.closed_ns = max(row.closed_ns, row.ns)
            total += row.ns
        self.raw.process_cpu_ns = total if process_ns is None else process_ns
        self.raw.close_mono_ns = time.monotonic_ns()
        self.raw.close_done = self.raw.close_wanted

    def serve(self) -> None:
        """Closes accounts in a thread whenever the agent asks."""

        def poll() -> None:
            while not self._end.wait(0.002):
                if self.raw.close_done != self.raw.close_wanted:
                    self.close_accounts()

        self._poller = threading.Thread(target=poll)
        self._poller.start()

    def stop(self) -> None:
        self.close_accounts()
        self.raw.host_state = lib.GP_HOST_STOPPING
        self.raw.wake += 1

    def log_lines(self) -> list[str]:
        data = bytes(ffi.buffer(self.raw.log, self.raw.log_written))
        return data.decode().splitlines()
