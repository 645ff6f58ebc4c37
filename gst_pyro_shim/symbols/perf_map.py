# SPDX-License-Identifier: MIT
"""Names of code made at run time, from the file that its compiler writes for perf: /tmp/perf-<pid>.map.

The format is that of Linux' tools/perf/Documentation/jit-interface.txt: "START SIZE name", both in hex. CPython 3.12
and newer write it under `-X perf` (PYTHONPERFSUPPORT=1), with a trampoline for each function, which is then a frame of
native stacks. Other compilers write it too.

Context: agent.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Final

from gst_pyro_shim.pprof.model import Frame
from gst_pyro_shim.symbols.address_ranges import AddressRanges

_PAUSE_S: Final = 1.0
_MAX_BYTES: Final = 32 * 1024 * 1024
_PYTHON: Final = "py::"


class PerfMap:
    """The map of one process. What was appended to it is read at most once a second."""

    def __init__(self, pid: int, folder: Path = Path("/tmp")) -> None:  # noqa: S108  where perf looks
        """Reads nothing yet.

        Args:
            pid: of the process.
            folder: where the file is.
        """
        self._path = folder / f"perf-{pid}.map"
        self._read_bytes = 0
        self._next_read_s = 0.0
        self._functions: AddressRanges[Frame] = AddressRanges()

    def frame(self, pc: int) -> Frame | None:
        """The function whose code holds `pc`; None where the map has none."""
        found = self._functions.find(pc)
        if found is None and time.monotonic() >= self._next_read_s:
            self._next_read_s = time.monotonic() + _PAUSE_S
            self._read()
            found = self._functions.find(pc)
        return found

    def _read(self) -> None:
        try:
            # Anybody can create this name in /tmp: no blocking on a FIFO, no symbolic links, no other user's file.
            descriptor = os.open(
                self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            )
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode):
                    return
                file.seek(self._read_bytes)
                data = file.read(_MAX_BYTES - self._read_bytes)
        except OSError:
            return
        whole_lines = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole_lines)
        for line in whole_lines.decode("utf-8", "replace").splitlines():
            self._add(line)

    def _add(self, line: str) -> None:
        words = line.split(" ", 2)
        try:
            start, size = int(words[0], 16), int(words[1], 16)
        except (ValueError, IndexError):
            return
        name = words[-1]
        if name.startswith(_PYTHON):
            # The file's name may hold colons, a function's does not.
            function, _, path = name.removeprefix(_PYTHON).partition(":")
            self._functions.add(start, start + size, Frame(function, file=path))
        elif name:
            self._functions.add(start, start + size, Frame(name))
