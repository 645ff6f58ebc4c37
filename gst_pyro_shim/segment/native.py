# SPDX-License-Identifier: MIT
"""Reads and writes a mapped segment by the extension `_native`, with types.

With abi.py, dump.py and symbols/elf_file.py these are the only modules that handle what cffi returns. Each call
releases the GIL. Layouts and meanings are those of csrc/shared/abi.h and csrc/agent/reader.h.

Context: agent.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, Any, Final, cast

from gst_pyro_shim import _native
from gst_pyro_shim.segment.abi import constant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.segment.abi import CSegment

_lib: Any = _native.lib
_ffi: Any = _native.ffi

# struct gp_account_row, gp_thread_row, gp_label_row, gp_link_row of reader.h.
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
        # Of each account, the ns that were reported. Mapped, not allocated: pages without an account cost nothing.
        self._reported_ns = _ffi.from_buffer(
            "uint64_t[]", mmap.mmap(-1, 8 * constant("GP_ACCOUNTS")), require_writable=True
        )
        self._row_buffers = {
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
        """Maps the segment of a descriptor; returns the reason, as a part of a sentence, where it cannot be mapped."""
        error = _ffi.new("const char **")
        pointer = _lib.gp_reader_map(fd, error)
        if pointer == _ffi.NULL:
            return str(_ffi.string(error[0]).decode())
        return cls(pointer)

    def close(self) -> None:
        """Unmaps it. No other method may be called afterwards."""
        _lib.gp_reader_unmap(self._pointer)
        self._pointer = _ffi.NULL

    def text(self, offset: int) -> str:
        """The interned string at an offset, "" for an offset that is out of bounds."""
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
        """Number of names published so far."""
        return int(_lib.gp_reader_names(self._pointer))

    def head(self) -> int:
        """Words of the ring that writers have reserved so far."""
        return int(_lib.gp_reader_head(self._pointer))

    def tail(self) -> int:
        """Words of the ring drained so far."""
        return int(self._pointer.tail)

    def drain(self, *, final: bool) -> tuple[bytes, int, int]:
        """The next records, up to a MiB.

        Args:
            final: no writer is alive any more: unfinished records are skipped.

        Returns:
            Whole records (struct gp_record), number of unfinished records skipped, number of corrupt words discarded.
        """
        out = self._drained
        _lib.gp_reader_drain(self._pointer, self._buffer, len(self._buffer), final, out)
        data = bytes(_ffi.buffer(self._buffer, out.bytes)) if out.bytes else b""
        return data, out.unfinished, out.corrupt_words

    def threads(self, *, ended_only: bool) -> Iterator[tuple[int, int, int, int, bytes]]:
        """Slots in use: (slot, state, serial, tid, comm).

        Args:
            ended_only: slots of live threads are left out.
        """
        kind, capacity = "struct gp_thread_row", 256
        while True:
            rows = _ffi.new(f"{kind}[]", capacity)
            count: int = _lib.gp_reader_threads(self._pointer, ended_only, rows, capacity)
            if count <= capacity:
                break
            capacity = count + count // 4
        data = memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))
        return cast("Iterator[tuple[int, int, int, int, bytes]]", _THREAD_ROW.iter_unpack(data))

    def _batches(self, call: Any, kind: str, *arguments: object) -> Iterator[memoryview]:
        """Rows of a call that fills the buffer and sets the row at which the next call continues."""
        rows = self._row_buffers[kind]
        at = _ffi.new("uint32_t *")
        while at[0] != _NO_ROW:
            count: int = call(self._pointer, *arguments, at, rows, _ROWS_AT_ONCE)
            yield memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))

    def _until_none(self, call: Any, kind: str) -> Iterator[memoryview]:
        """Rows of a call that removes what it returns, until none is left."""
        rows = self._row_buffers[kind]
        while count := call(self._pointer, rows, _ROWS_AT_ONCE):
            yield memoryview(_ffi.buffer(rows, count * _ffi.sizeof(kind)))

    def take_accounts(
        self, *, ended_only: bool
    ) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """Accounts with new CPU time, and accounts that have ended, whose rows are freed.

        Args:
            ended_only: live accounts are left for a later call.

        Yields:
            (state, label, the label's serial, thread's slot, the slot's serial, 0, new ns).
        """
        for batch in self._batches(
            _lib.gp_reader_take_accounts, "struct gp_account_row", self._reported_ns, ended_only
        ):
            rows = _ACCOUNT_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int, int, int, int, int]]", rows)

    def take_overflows(self) -> Iterator[tuple[int, int, int]]:
        """New CPU time that no account holds: (label, its serial, ns)."""
        for batch in self._until_none(_lib.gp_reader_take_overflows, "struct gp_label_row"):
            rows = _LABEL_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int]]", rows)

    def take_links(self) -> Iterator[tuple[int, int, int, int]]:
        """Links found since the last call: (source label, its serial, sink label, its serial)."""
        for batch in self._until_none(_lib.gp_reader_take_links, "struct gp_link_row"):
            rows = _LINK_ROW.iter_unpack(bytes(batch))
            yield from cast("Iterator[tuple[int, int, int, int]]", rows)

    def ended_labels(self) -> list[int]:
        """Row numbers of labels that have ended and are not freed yet."""
        found: list[int] = []
        for batch in self._batches(_lib.gp_reader_ended_labels, "uint32_t"):
            found += batch.cast("B").cast("I")
        return found

    def free_labels(self, keys: list[int]) -> None:
        """Frees the rows of labels that have ended; other labels are left alone."""
        _lib.gp_reader_free_labels(self._pointer, keys, len(keys))

    def free_threads(self, slots: list[int]) -> None:
        """Frees slots of ended threads."""
        _lib.gp_reader_free_threads(self._pointer, slots, len(slots))

    def wait(self, seen: int, timeout_ms: int) -> int:
        """Waits until `wake` differs from `seen`, at most `timeout_ms`; returns `wake`."""
        return int(_lib.gp_reader_wait(self._pointer, seen, timeout_ms))

    def wake(self) -> None:
        """Raises `wake`: another thread's `wait` ends."""
        _lib.gp_reader_wake(self._pointer)

    def request_close(self, timeout_ms: int) -> bool:
        """Has the shim close all accounts; False where it did not within the time."""
        return bool(_lib.gp_reader_request_close(self._pointer, timeout_ms))

    def host_state(self) -> int:
        """One of enum gp_host_state."""
        return int(_lib.gp_reader_host_state(self._pointer))

    def set_agent_state(self, state: int) -> None:
        """Sets one of enum gp_agent_state and wakes the shim where it waits for it."""
        _lib.gp_reader_set_agent_state(self._pointer, state)

    def offer_python(self, config: bytes) -> None:
        """Publishes the configuration of host_python.py: key NUL value NUL, again and again."""
        _lib.gp_reader_offer_python(self._pointer, config, len(config))

    def log(self, level: int, text: str) -> None:
        """Writes a line for GStreamer's debug log, with GStreamer's number for the level. MT-safe."""
        clean = text.encode("utf-8", "replace").replace(b"\0", b" ")
        _lib.gp_reader_log(self._pointer, level, clean)
