# SPDX-License-Identifier: MIT
"""Code that is in no file: by the name that its maker gave it, else by the kind of memory that it is in.

ORC compiles its kernels into a file of its own that it has unlinked ("orcexec.…"), or into anonymous memory; other
compilers use anonymous memory.

Context: agent. Reads /proc/<host>/maps, once a second at most.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof.model import JIT, ORC, Frame
from gst_pyro_shim.symbols.perf_map import PerfMap

if TYPE_CHECKING:
    from gst_pyro_shim.segment.rows import HostName

_PAUSE_S: Final = 1.0
_ORC_FILE: Final = "orcexec."
_ORC_NAME: Final = "orc: "


class RuntimeCode:
    """What is known of code that the host made at run time."""

    def __init__(self, pid: int) -> None:
        """Of the process `pid`."""
        self._maps = Path(f"/proc/{pid}/maps")
        self._starts: list[int] = []
        self._ranges: dict[int, tuple[int, Frame]] = {}  # by start: end, name
        self._regions: list[tuple[int, int, bool]] = []  # start, end, whether it is ORC's
        self._next_read_s = 0.0
        self._perf_map = PerfMap(pid)

    def add(self, name: HostName) -> None:
        """A range of code got a name; the last one counts."""
        if name.address not in self._ranges:
            self._starts.insert(bisect_right(self._starts, name.address), name.address)
        self._ranges[name.address] = (name.address + name.bytes, Frame(name.text))

    def frame(self, pc: int) -> Frame:
        """The frame for an address that is in no module."""
        at = bisect_right(self._starts, pc) - 1
        if at >= 0:
            end, frame = self._ranges[self._starts[at]]
            if pc < end:
                return frame
        named = self._perf_map.frame(pc)
        if named is not None:
            return named
        region = self._find(pc)
        if region is None and time.monotonic() >= self._next_read_s:
            self._read()
            region = self._find(pc)
        if region is None:
            return JIT
        start, end, is_orc = region
        return ORC if is_orc or self._has_orc(start, end) else JIT

    def _has_orc(self, start: int, end: int) -> bool:
        at = bisect_right(self._starts, start - 1)
        names = (self._ranges[one][1].name for one in self._starts[at:] if one < end)
        return any(name.startswith(_ORC_NAME) for name in names)

    def _find(self, pc: int) -> tuple[int, int, bool] | None:
        return next((row for row in self._regions if row[0] <= pc < row[1]), None)

    def _read(self) -> None:
        self._next_read_s = time.monotonic() + _PAUSE_S
        try:
            lines = self._maps.read_text("utf-8", "replace").splitlines()
        except OSError:  # it is gone, or not ours to look into
            return
        self._regions.clear()
        for line in lines:
            fields = line.split(maxsplit=5)
            if "x" not in fields[1]:
                continue
            start, _, end = fields[0].partition("-")
            is_orc = len(fields) > 5 and _ORC_FILE in fields[5]
            self._regions.append((int(start, 16), int(end, 16), is_orc))
