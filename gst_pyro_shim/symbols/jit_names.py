# SPDX-License-Identifier: MIT
"""Names of code that is in no file: from who made it, else by the kind of memory that it is in.

ORC compiles its kernels into a file that it has already unlinked ("orcexec.…"), or into anonymous memory. Other
compilers use anonymous memory.

Context: agent. Reads /proc/<host>/maps, at most once a second.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.pprof.model import JIT, ORC, Frame
from gst_pyro_shim.symbols.address_ranges import AddressRanges
from gst_pyro_shim.symbols.perf_map import PerfMap

if TYPE_CHECKING:
    from gst_pyro_shim.segment.rows import HostName

_PAUSE_S: Final = 1.0
_ORC_FILE: Final = "orcexec."
_ORC_NAME: Final = "orc: "


class JitNames:
    """Frames for code that one host has compiled at run time."""

    def __init__(self, pid: int) -> None:
        """Reads nothing yet.

        Args:
            pid: of the host.
        """
        self._maps = Path(f"/proc/{pid}/maps")
        self._named: AddressRanges[Frame] = AddressRanges()
        self._regions: list[tuple[int, int, bool]] = []  # start, end, whether it is ORC's file
        self._next_read_s = 0.0
        self._perf_map = PerfMap(pid)

    def add(self, name: HostName) -> None:
        """Adds a name that the host has published for a range of code; it replaces an earlier one."""
        self._named.add(name.address, name.address + name.bytes, Frame(name.text))

    def frame(self, pc: int) -> Frame:
        """The frame for an address that is in no module: named, or [orc] or [jit]."""
        named = self._named.find(pc) or self._perf_map.frame(pc)
        if named is not None:
            return named
        region = self._region(pc)
        if region is None and time.monotonic() >= self._next_read_s:
            self._read_maps()
            region = self._region(pc)
        if region is None:
            return JIT
        start, end, is_orc = region
        return ORC if is_orc or self._has_kernels(start, end) else JIT

    def _has_kernels(self, start: int, end: int) -> bool:
        """Whether ORC has named code in this range."""
        return any(one.name.startswith(_ORC_NAME) for one in self._named.starting_in(start, end))

    def _region(self, pc: int) -> tuple[int, int, bool] | None:
        return next((row for row in self._regions if row[0] <= pc < row[1]), None)

    def _read_maps(self) -> None:
        self._next_read_s = time.monotonic() + _PAUSE_S
        try:
            lines = self._maps.read_text("utf-8", "replace").splitlines()
        except OSError:  # the host has ended, or this user may not look into it
            return
        self._regions.clear()
        for line in lines:
            fields = line.split(maxsplit=5)
            if "x" not in fields[1]:
                continue
            start, _, end = fields[0].partition("-")
            is_orc = len(fields) > 5 and _ORC_FILE in fields[5]
            self._regions.append((int(start, 16), int(end, 16), is_orc))
