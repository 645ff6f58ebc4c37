# SPDX-License-Identifier: MIT
"""ELF files that are kept open for lookups, in bounded number.

Context: agent. Agents of several hosts share one cache, each on its own thread.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.symbols.elf_file import ElfFile

if TYPE_CHECKING:
    from gst_pyro_shim.segment.rows import Module

_MAX_FILES: Final = 64
_MAX_DWARF_FILES: Final = 8
"""With debug information read, which holds much memory."""
_IDLE_WINDOWS: Final = 6


class ElfCache:
    """Open files by path and build id, least recently used first.

    Attributes:
        lock: held by the caller of `get` and `known`, and for as long as it uses the file that they return.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self.lock = threading.RLock()
        self._open: dict[tuple[str, str], ElfFile | None] = {}
        self._last_use: dict[tuple[str, str], int] = {}  # the window's number
        self._window = 0

    def get(self, module: Module) -> ElfFile | None:
        """The file of a module, opened unless it is open; None where it is missing, or replaced by another build."""
        key = module.key
        self._last_use[key] = self._window
        if key in self._open:
            file = self._open.pop(key)
        else:
            file = ElfFile.open(*key)
            if len(self._open) >= _MAX_FILES:
                self._close(next(iter(self._open)))
        self._open[key] = file
        return file

    def known(self, key: tuple[str, str]) -> ElfFile | None:
        """The file where it is open; None where it is not, or is missing."""
        return self._open.get(key)

    def forget(self, build_id: str) -> None:
        """Closes the files of a build, whose debug file has been fetched: opened again, they find it."""
        with self.lock:
            for key in [key for key in self._open if key[1] == build_id]:
                self._close(key)

    def end_window(self) -> None:
        """Closes files that were not used in the last windows, and all but a few of those with debug information."""
        with self.lock:
            self._window += 1
            with_dwarf = 0
            for key, file in reversed(list(self._open.items())):
                is_big = file is not None and file.has_dwarf
                with_dwarf += is_big
                is_idle = self._window - self._last_use[key] > _IDLE_WINDOWS
                if is_idle or (is_big and with_dwarf > _MAX_DWARF_FILES):
                    self._close(key)

    def _close(self, key: tuple[str, str]) -> None:
        file = self._open.pop(key)
        del self._last_use[key]
        if file is not None:
            file.close()
