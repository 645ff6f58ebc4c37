# SPDX-License-Identifier: MIT
"""A developers' tool: prints the segment of a process. `python -m gst_pyro_shim.segment.dump --pid PID`.

It reads a copy (snapshot.py) with the agent's own reader: the process and its agent notice nothing.

Context: controller.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gst_pyro_shim import _native
from gst_pyro_shim.errors import GstPyroError, SegmentError
from gst_pyro_shim.segment.abi import constant, enum_names, label_of_key
from gst_pyro_shim.segment.native import Reader
from gst_pyro_shim.segment.snapshot import copy_of, segments_of
from gst_pyro_shim.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ffi: Any = _native.ffi

_RECORD: Final = struct.Struct("=7I2H")
_TAGGED: Final = 1 << 63
_LABELS: Final = constant("GP_LABELS")
_SLOT_FREE: Final = constant("GP_SLOT_FREE")
_FRAME_LABEL: Final = constant("GP_FRAME_LABEL")
_FRAME_EXACT: Final = constant("GP_FRAME_EXACT")
_ENUM_FIELDS: Final = {
    "agent_home": ("gp_agent_home", "GP_HOME_"),
    "host_state": ("gp_host_state", "GP_HOST_"),
    "agent_state": ("gp_agent_state", "GP_AGENT_"),
    "clock": ("gp_clock", "GP_CLOCK_"),
    "python_state": ("gp_python_state", "GP_PYTHON_"),
}


_STATES: Final = enum_names("gp_slot_state", "GP_SLOT_")
_KINDS: Final = enum_names("gp_label_kind", "GP_LABEL_")
_COUNTERS: Final = enum_names("gp_counter", "GP_COUNTER_")
_STACK_ENDS: Final = enum_names("gp_stack_end", "GP_STACK_")
_TAGS: Final = enum_names("gp_frame_tag", "GP_FRAME_")


@dataclass(frozen=True)
class _Module:
    start: int
    end: int
    bias: int
    name: str
    added: int
    removed: int

    def holds(self, pc: int, generation: int) -> bool:
        is_loaded = self.added <= generation and (not self.removed or generation < self.removed)
        return is_loaded and self.start <= pc < self.end


class Dump:
    """Text of a copied segment. Each method yields the lines of one part; `records` empties the copy's ring."""

    def __init__(self, reader: Reader) -> None:
        """Reads the module list.

        Args:
            reader: of a copy: it is drained, and its rows are freed.
        """
        self._reader = reader
        self._raw: Any = reader.raw
        self._modules = [
            _Module(row.start, row.end, row.bias, self._text(row.path), row.added, row.removed)
            for row in self._raw.modules[0 : self._raw.module_count]
        ]

    def _text(self, offset: int) -> str:
        return printable(self._reader.text(offset))

    def header(self) -> Iterator[str]:
        """Each number in front of the tables, by its name in abi.h; what is a state, by its enumerator."""
        yield f"program {printable(self._reader.program())}"
        for name, field in _ffi.typeof("struct gp_segment").fields:
            if field.type.kind == "primitive":
                value = getattr(self._raw, name)
                known = enum_names(*_ENUM_FIELDS[name]).get(value) if name in _ENUM_FIELDS else None
                yield f"{name} {value}{f' ({known})' if known else ''}"

    def counters(self) -> Iterator[str]:
        """Those that are not 0."""
        for index, name in sorted(_COUNTERS.items()):
            if self._raw.counters[index]:
                yield f"{name} {self._raw.counters[index]}"

    def threads(self) -> Iterator[str]:
        """Slots in use: slot.serial, state, tid, name."""
        for slot, state, serial, tid, comm in self._reader.threads(ended_only=False):
            name = printable(comm.partition(b"\0")[0].decode("utf-8", "replace"))
            yield f"{slot}.{serial} {_STATES.get(state, state)} tid {tid} {name}"

    def labels(self) -> Iterator[str]:
        """Rows in use: label.serial, name, state, kind, factory, the bin's label, who refers to it."""
        for number in range(1, _LABELS):
            row = self._raw.labels[number]
            if row.state != _SLOT_FREE:
                own = " own work" if row.is_own_work else ""
                gone = ", element gone" if row.gone else ""
                factory = f" ({self._text(row.factory)})" if row.factory else ""
                parent = f" in {self._label(row.parent)}" if row.parent else ""
                yield (
                    f"{self._label(number)} {_STATES.get(row.state, row.state)}"
                    f" {_KINDS.get(row.kind, row.kind)}{own}{factory}{parent}"
                    f", {row.refs} references{gone}"
                )

    def _label(self, number: int, serial: int | None = None) -> str:
        """Row, serial and name of a label."""
        row = self._raw.labels[number] if number < _LABELS else self._raw.labels[0]
        of_row = f"{number}.{row.serial if serial is None else serial}"
        return f"{of_row} {self._text(row.name) or _KINDS.get(row.kind, '?')}"

    def accounts(self) -> Iterator[str]:
        """CPU time of each thread under each label, greatest first; the open stretch as of the last close."""
        rows = self._reader.take_accounts(ended_only=False)
        for state, label, label_serial, slot, serial, _, ns in sorted(
            rows, key=lambda one: -one[-1]
        ):
            name = self._label(label, label_serial)
            yield f"{ns / 1e6:.3f} ms thread {slot}.{serial} label {name} {_STATES.get(state, state)}"

    def links(self) -> Iterator[str]:
        """Linked elements that the agent has not read yet."""
        for source, source_serial, sink, sink_serial in self._reader.take_links():
            yield f"{self._label(source, source_serial)} -> {self._label(sink, sink_serial)}"

    def modules(self) -> Iterator[str]:
        """ELF objects ever loaded."""
        for one in self._modules:
            removed = f", removed in {one.removed}" if one.removed else ""
            yield f"{one.start:#x}-{one.end:#x} {one.name} added in {one.added}{removed}"

    def records(self, last: int) -> Iterator[str]:
        """The newest records in the ring, leaf first. A drain adds serials to the labels of tags."""
        head, tail = self._reader.head(), self._reader.tail()
        found: list[tuple[Any, ...]] = []
        while data := self._reader.drain(final=False)[0]:
            at = 0
            while at < len(data):
                header = _RECORD.unpack_from(data, at)
                depth = header[-1]
                found.append((*header, struct.unpack_from(f"={depth}Q", data, at + _RECORD.size)))
                at += header[1] * 8
        yield f"{head - tail} words between tail and head, {len(found)} committed records"
        for serial, words, slot, thread_serial, label, weight, generation, end, depth, frames in (
            found[-last:] if last else []
        ):
            yield (
                f"record of {words} words: thread {slot}.{thread_serial}"
                f" label {self._label(label, serial)}, weight {weight},"
                f" stack ended {_STACK_ENDS.get(end, end)}, generation {generation}, depth {depth}"
            )
            for index, frame in enumerate(frames):
                yield f"  {frame:#018x} {self._frame(frame, generation, is_leaf=index == 0)}"

    def _frame(self, frame: int, generation: int, *, is_leaf: bool) -> str:
        if frame < _TAGGED:
            return self._place(frame, generation, is_exact=is_leaf)
        tag, operand = frame >> 56 & 0x7F, frame & (1 << 56) - 1
        if tag == _FRAME_LABEL:
            return f"LABEL {self._label(*label_of_key(operand))}"
        name = _TAGS.get(tag, str(tag)).upper()
        if tag == _FRAME_EXACT:
            return f"{name} {self._place(operand, generation, is_exact=True)}"
        return name

    def _place(self, pc: int, generation: int, *, is_exact: bool) -> str:
        """Module and ELF address. A return address belongs to the call before it, which may end its function."""
        look_up = pc if is_exact else pc - 1
        for one in self._modules:
            if one.holds(look_up, generation):
                return f"{one.name} {pc - one.bias:#x}"
        return "in no module"


def dump(file: Path, last: int) -> Iterator[str]:
    """All parts of a segment as lines, each part with its name in front.

    Args:
        file: the segment; it stays as it is.
        last: how many records are shown.

    Raises:
        SegmentError: it cannot be read, or is no segment of this version.
    """
    with copy_of(file) as copy:
        reader = Reader.from_fd(copy)
        if isinstance(reader, str):
            raise SegmentError(
                f"{file} cannot be dumped: {reader}.", "Use the package that profiles the process."
            )
        try:
            parts = Dump(reader)
            for name, lines in (
                ("segment", parts.header()),
                ("counters", parts.counters()),
                ("threads", parts.threads()),
                ("labels", parts.labels()),
                ("accounts", parts.accounts()),
                ("links", parts.links()),
                ("modules", parts.modules()),
                ("ring", parts.records(last)),
            ):
                yield name
                yield from (f"  {line}" for line in lines)
        finally:
            reader.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the segments of a process; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gst_pyro_shim.segment.dump",
        description="Prints the memory that a profiled process shares with its agent, without changing it.",
    )
    parser.add_argument(
        "--pid", type=int, required=True, help="the profiled process, or an agent's process"
    )
    parser.add_argument("--last", type=int, default=3, help="records to show (default: 3)")
    arguments = parser.parse_args(argv)
    try:
        for file in segments_of(arguments.pid):
            for line in dump(file, arguments.last):
                sys.stdout.write(f"{line}\n")
    except GstPyroError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
