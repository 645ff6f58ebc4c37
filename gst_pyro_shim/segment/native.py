# SPDX-License-Identifier: MIT
"""The typed face of the extension `_native`: with symbols/elf_file.py the only module that sees what cffi returns.

Each call releases the GIL. Layouts and meanings are those of csrc/shared/abi.h and reader.h.

Context: agent. Needs nothing but the extension: importing it costs a millisecond.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from gst_pyro_shim import _native

if TYPE_CHECKING:
    from collections.abc import Iterator

_lib: Any = _native.lib
_ffi: Any = _native.ffi


class CEnum(Protocol):
    """An enum type as cffi describes it."""

    @property
    def elements(self) -> dict[int, str]:
        """Name by value."""


def enum_names(name: str, prefix: str) -> dict[int, str]:
    """Wire names of an enum of abi.h: value -> enumerator, lowered, without its prefix."""
    kind = cast("CEnum", _ffi.typeof(f"enum {name}"))
    return {
        value: text.removeprefix(prefix).lower()
        for value, text in kind.elements.items()
        if text.startswith(prefix)
    }


def constant(name: str) -> int:
    """Value of an enumerator."""
    return int(getattr(_lib, name))


def mono_ns() -> int:
    """CLOCK_MONOTONIC as the kernel tells it, ns; `time` may be told another (libfaketime)."""
    return int(_lib.gp_reader_mono_ns())


def real_ns() -> int:
    """Time since 1970 as the kernel tells it, ns."""
    return int(_lib.gp_reader_real_ns())


class CLabel(Protocol):
    """struct gp_label."""

    state: int
    serial: int
    kind: int
    name: int
    factory: int
    parent: int
    auto_named: int
    gone: int
    is_own_work: int


class CModule(Protocol):
    """struct gp_module."""

    start: int
    end: int
    bias: int
    path: int
    build_id: int
    added: int
    removed: int


class CName(Protocol):
    """struct gp_name."""

    address: int
    bytes: int
    text: int
    generation: int


class CSegment(Protocol):
    """struct gp_segment: what is read from Python."""

    host_pid: int
    sample_rate_hz: int
    start_mono_ns: int
    start_real_ns: int
    agent_home: int
    stop_on_dispose: int
    host_state: int
    agent_state: int
    wake: int
    clock: int
    close_mono_ns: int
    process_cpu_ns: int
    labels_moved: int
    module_count: int
    generation: int
    strings_used: int
    threads_seen: int
    python_state: int
    counters: list[int]
    labels: list[CLabel]
    modules: list[CModule]
    names: list[CName]


_ACCOUNT_ROW: Final = struct.Struct("=IIIIIIQ")
_THREAD_ROW: Final = struct.Struct("=IIIi16s")
_LABEL_ROW: Final = struct.Struct("=IIQ")
_LINK_ROW: Final = struct.Struct("=IIII")
_ROWS_AT_ONCE: Final = 4096
_NO_ROW: Final = 0xFFFFFFFF


class Reader:
    """One mapped segment.

    Attributes:
        raw: its fields.
    """

    def __init__(self, pointer: Any) -> None:
        """Wraps a checked `struct gp_segment *`, which it unmaps at `close`."""
        self.raw = cast("CSegment", pointer)
        self._pointer = pointer
        self._buffer = _ffi.new("char[]", max(1 << 20, _lib.gp_reader_buffer_bytes()))
        self._drained = _ffi.new("struct gp_drained *")
        # What was told of each account. Mapped, not allocated: pages that no account needs cost nothing.
        self._told = _ffi.from_buffer(
            "uint64_t[]", mmap.mmap(-1, 8 * constant("GP_ACCOUNTS")), require_writable=True
        )
        self._rows_at_once = {
            kind: _ffi.new(f"{kind}[]", _ROWS_AT_ONCE)
            for kind in (
                "struct gp_account_row",
                "struct gp_label_row",
                "struct gp_link_row",
                "uint32_t",
            )
        }

    @classmethod
    def from_fd(cls, fd: int) -> Reader | str:
        """Maps the segment of a descriptor; a sentence where that cannot be."""
        error = _ffi.new("const char **")
        pointer = _lib.gp_reader_map(fd, error)
        if pointer == _ffi.NULL:
            return str(_ffi.string(error[0]).decode())
        return cls(pointer)

    def close(self) -> None:
        """Unmaps it. Nothing else may be called afterwards."""
        _lib.gp_reader_unmap(self._pointer)
        self._pointer = _ffi.NULL

    def text(self, offset: int) -> str:
        """The interned string at an offset, "" for one that is out of bounds."""
        size = constant("GP_STRINGS")
        if not 0 < offset < size:
            return ""
        raw: bytes = _ffi.string(self._pointer.strings + offset, size - offset)
        return raw.decode("utf-8", "replace")

    def program(self) -> str:
        """The host's executable, without folders."""
        raw: bytes = _ffi.string(self._pointer.program)
        return raw.decode("utf-8", "replace")

    def params(self) -> bytes:
        """The tracer's parameters: key NUL value NUL … NUL."""
        return bytes(_ffi.buffer(self._pointer.params))

    def names(self) -> int:
        """Names published so far."""
        return int(_lib.gp_reader_names(self._pointer))

    def head(self) -> int:
        """Words reserved by writers so far."""
        return int(_lib.gp_reader_head(self._pointer))

    def tail(self) -> int:
        """Words drained so far."""
        return int(self._pointer.tail)

    def drain(self, *, final: bool) -> tuple[bytes, int, int]:
        """The next records, up to a MiB: bytes, unfinished ones, corrupt words."""
        out = self._drained
        _lib.gp_reader_drain(self._pointer, self._buffer, len(self._buffer), final, out)
        data = bytes(_ffi.buffer(self._buffer, out.bytes)) if out.bytes else b""
        return data, out.unfinished, out.corrupt_words

    def _rows(self, call: Any, kind: str, *arguments: object) -> memoryview:
        cap = 256
        while True:
            rows = _ffi.new(f"{kind}[]", cap)
            count: int = call(self._pointer, *arguments, rows, cap)
            if count <= cap:
                return memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))
            cap = count + count // 4

    def threads(self, *, ended_only: bool) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Slots in use: (slot, state, serial, tid, comm)."""
        rows = self._rows(_lib.gp_reader_threads, "struct gp_thread_row", ended_only)
        return cast("Iterator[tuple[int, int, int, int, bytes]]", _THREAD_ROW.iter_unpack(rows))

    def _batches(self, call: Any, kind: str, *arguments: object) -> Iterator[memoryview]:
        """Rows of a call that writes as many as there is room for, and says where the next one goes on."""
        rows = self._rows_at_once[kind]
        at = _ffi.new("uint32_t *")
        while at[0] != _NO_ROW:
            count: int = call(self._pointer, *arguments, at, rows, _ROWS_AT_ONCE)
            yield memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))

    def _until_none(self, call: Any, kind: str) -> Iterator[memoryview]:
        """Rows of a call that takes what it tells, until there is no more."""
        rows = self._rows_at_once[kind]
        while count := call(self._pointer, rows, _ROWS_AT_ONCE):
            yield memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))

    def take_accounts(
        self, *, ended_only: bool
    ) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """Accounts with CPU that is new, and ended ones, whose rows are given back.

        Yields:
            (state, label, the label's serial, slot, the slot's serial, 0, new ns).
        """
        for batch in self._batches(
            _lib.gp_reader_take_accounts, "struct gp_account_row", self._told, ended_only
        ):
            rows = _ACCOUNT_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int, int, int, int, int]]", rows)

    def take_overflows(self) -> Iterator[tuple[int, int, int]]:
        """CPU that no account holds and that is new: (label, its serial, ns)."""
        for batch in self._until_none(_lib.gp_reader_take_overflows, "struct gp_label_row"):
            rows = _LABEL_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int]]", rows)

    def take_links(self) -> Iterator[tuple[int, int, int, int]]:
        """Links met since the last call: (source label, its serial, sink label, its serial)."""
        for batch in self._until_none(_lib.gp_reader_take_links, "struct gp_link_row"):
            rows = _LINK_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int, int]]", rows)

    def ended_labels(self) -> list[int]:
        """Labels that have ended and were not freed yet."""
        found: list[int] = []
        for batch in self._batches(_lib.gp_reader_ended_labels, "uint32_t"):
            found += batch.cast("B").cast("I")
        return found

    def free_labels(self, keys: list[int]) -> None:
        """Gives labels that have ended back to the shim."""
        _lib.gp_reader_free_labels(self._pointer, keys, len(keys))

    def free_threads(self, slots: list[int]) -> None:
        """Gives slots of ended threads back to the shim."""
        _lib.gp_reader_free_threads(self._pointer, slots, len(slots))

    def wait(self, seen: int, timeout_ms: int) -> int:
        """Waits until `wake` differs from `seen`, at most `timeout_ms`; returns `wake`."""
        return int(_lib.gp_reader_wait(self._pointer, seen, timeout_ms))

    def request_close(self, timeout_ms: int) -> bool:
        """Asks the shim to close all accounts; False where it did not within the time."""
        return bool(_lib.gp_reader_request_close(self._pointer, timeout_ms))

    def host_state(self) -> int:
        """One of enum gp_host_state."""
        return int(_lib.gp_reader_host_state(self._pointer))

    def set_agent_state(self, state: int) -> None:
        """Sets it and wakes who waits for it."""
        _lib.gp_reader_set_agent_state(self._pointer, state)

    def offer_python(self, config: bytes) -> None:
        """Says where Python's samples go."""
        _lib.gp_reader_offer_python(self._pointer, config, len(config))

    def log(self, level: int, text: str) -> None:
        """A line for GStreamer's debug log. MT-safe."""
        clean = text.encode("utf-8", "replace").replace(b"\0", b" ")
        _lib.gp_reader_log(self._pointer, level, clean)
