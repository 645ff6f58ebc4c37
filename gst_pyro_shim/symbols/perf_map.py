# SPDX-License-Identifier: MIT
"""Names of code made at run time, from the file that its maker writes for perf: /tmp/perf-<pid>.map.

CPython 3.12 and newer write one where they run with `-X perf` (PYTHONPERFSUPPORT=1): a trampoline a function, which
then stands in native stacks. Other compilers write it too.

Context: agent.
"""

from __future__ import annotations

import os
import stat
import time
from bisect import bisect_right
from pathlib import Path
from typing import Final

from gst_pyro_shim.pprof.model import Frame

_PAUSE_S: Final = 1.0
_MAX_BYTES: Final = 32 * 1024 * 1024
_PYTHON: Final = "py::"


class PerfMap:
    """The map of one process; read on as it grows, once a second at most."""

    def __init__(self, pid: int, folder: Path = Path("/tmp")) -> None:  # noqa: S108  where perf looks
        """Of the process `pid`."""
        self._path = folder / f"perf-{pid}.map"
        self._read_bytes = 0
        self._next_read_s = 0.0
        self._ranges: dict[int, tuple[int, Frame]] = {}  # by start: end, frame; the last one counts
        self._starts: list[int] = []

    def frame(self, pc: int) -> Frame | None:
        """The function whose code holds `pc`."""
        found = self._find(pc)
        if found is None and time.monotonic() >= self._next_read_s:
            self._next_read_s = time.monotonic() + _PAUSE_S
            self._read()
            found = self._find(pc)
        return found

    def _find(self, pc: int) -> Frame | None:
        at = bisect_right(self._starts, pc) - 1
        if at < 0:
            return None
        end, frame = self._ranges[self._starts[at]]
        return frame if pc < end else None

    def _read(self) -> None:
        try:
            # Anybody may put something of that name there: it is not waited for, followed, or believed.
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
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.decode("utf-8", "replace").splitlines():
            self._add(line)
        if whole:
            self._starts = sorted(self._ranges)

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
            self._ranges[start] = (start + size, Frame(function, file=path))
        elif name:
            self._ranges[start] = (start + size, Frame(name))
