# SPDX-License-Identifier: MIT
"""Addresses of the host become frames: which module, which function, which calls were inlined, which line.

A function that no file names may have a name in the host (csrc/shim/names/names.h). Without any it keeps an identity,
`module+0x<where it begins>`: never the raw address, which would make a frame of every instruction. Results are cached
over windows; memory is bounded.

Context: agent. Reads files; waits for nothing from the network.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, Protocol

from gst_pyro_shim.pprof.model import PYTHON, Frame, identity
from gst_pyro_shim.symbols.demangle import demangle
from gst_pyro_shim.symbols.elf_file import ElfFile
from gst_pyro_shim.symbols.jit_names import RuntimeCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.segment.rows import HostName, Module

_PYTHON_LOOPS: Final = ("_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx", "_TAIL_CALL_")
"""Also in parts where the compiler split it (.cold, .lto_priv); in 3.14 it may be a function an opcode."""

_MAX_ADDRESSES: Final = 50_000
_MAX_FRAMES: Final = 100_000
_MAX_FILES: Final = 64
_MAX_DWARF_FILES: Final = 8
_IDLE_WINDOWS: Final = 6
_MAX_GENERATIONS: Final = 4
_CHEAP_BYTES: Final = 1 << 20
_PROMOTED_SHARE: Final = 20
"""A twentieth of a window's samples has its leaf there."""
_INFLATE_BYTES: Final = 64 << 20
"""In one window."""


class ModuleSource(Protocol):
    """Where the lists of modules and names are read: a `HostCode`."""

    @property
    def pid(self) -> int:
        """Of the host."""

    @property
    def generation(self) -> int:
        """Of the list."""

    def modules(self) -> list[Module]:
        """All that ever were loaded, in an order that never changes."""

    def names(self, first: int) -> list[HostName]:
        """Names that the host has for its functions, from the `first`th on."""


class DebugFileServers(Protocol):
    """Who fetches debug files in the background: a `Debuginfod`."""

    def want(self, build_id: str) -> None:
        """Notes that this file is wanted, once more."""

    def arrived(self, first: int) -> list[str]:
        """Build ids whose files have come, from the `first`th on."""


class _Table:
    """Modules of one generation, by address."""

    def __init__(self, modules: list[Module], generation: int) -> None:
        rows = sorted(
            (one.start, one.end, index)
            for index, one in enumerate(modules)
            if one.added <= generation and not 0 < one.removed <= generation
        )
        self._starts = [start for start, _, _ in rows]
        self._ends = [end for _, end, _ in rows]
        self._indices = [index for _, _, index in rows]

    def find(self, pc: int) -> int:
        """Index of the module, -1 for none."""
        at = bisect_right(self._starts, pc) - 1
        return self._indices[at] if at >= 0 and pc < self._ends[at] else -1


class Files:
    """Files that are open for lookups, of one host or of several that share them.

    Attributes:
        lock: held while one of them is used.
    """

    def __init__(self) -> None:
        """Nothing is open."""
        self.lock = threading.RLock()
        self._open: dict[tuple[str, str], ElfFile | None] = {}
        self._used: dict[tuple[str, str], int] = {}  # window of the last use
        self._window = 0

    def get(self, module: Module) -> ElfFile | None:
        """Of a module, opened where it was not; None where it is gone, or replaced by another build."""
        key = module.key
        self._used[key] = self._window
        if key in self._open:
            file = self._open.pop(key)
        else:
            file = ElfFile.open(*key)
            if len(self._open) >= _MAX_FILES:
                self._close(next(iter(self._open)))
        self._open[key] = file
        return file

    def known(self, key: tuple[str, str]) -> ElfFile | None:
        """What is open; None also where it is not."""
        return self._open.get(key)

    def forget(self, build_id: str) -> None:
        """Closes what is open of a build: its debug file is there now."""
        with self.lock:
            for key in [key for key in self._open if key[1] == build_id]:
                self._close(key)

    def end_window(self) -> None:
        """Closes files that were not needed for a while, and, of those with debug information, all but a few."""
        with self.lock:
            self._window += 1
            with_dwarf = 0
            for key, file in reversed(list(self._open.items())):
                is_big = file is not None and file.has_dwarf
                with_dwarf += is_big
                is_idle = self._window - self._used[key] > _IDLE_WINDOWS
                if is_idle or (is_big and with_dwarf > _MAX_DWARF_FILES):
                    self._close(key)

    def _close(self, key: tuple[str, str]) -> None:
        file = self._open.pop(key)
        del self._used[key]
        if file is not None:
            file.close()


class Symbolizer:
    """Names addresses by the files that the host had loaded.

    Attributes:
        deadline: when (time.monotonic) to stop reading debug information, which may take long.
        version: raised when names came for addresses that had been answered without.
    """

    def __init__(
        self,
        source: ModuleSource,
        servers: DebugFileServers | None = None,
        files: Files | None = None,
    ) -> None:
        """Starts without anything read.

        Args:
            source: the host's modules and names.
            servers: who fetches debug files that are not here.
            files: shared with others.
        """
        self.deadline = math.inf
        self.version = 0
        self._source = source
        self._servers = servers
        self._arrived = len(servers.arrived(0)) if servers is not None else 0
        self._modules: list[Module] = []
        self._tables: dict[int, _Table] = {}
        self._addresses: dict[tuple[int, int], tuple[Frame, ...]] = {}
        self._frames: dict[Frame, Frame] = {}
        self._files = files or Files()
        self._host_names: dict[tuple[int, int], str] = {}  # by module and ELF address
        self._host_names_read = 0
        self._unnamed: dict[tuple[int, int], list[int]] = {}  # likewise: addresses answered
        self._promoted: set[tuple[str, str]] = set()
        self._held_back: set[tuple[str, str]] = set()  # compressed DWARF that was not read
        self._runtime_code = RuntimeCode(source.pid)
        self._met_runtime_code = False

    def refresh(self) -> None:
        """Takes in what the host has named since the last time."""
        new = self._source.names(self._host_names_read)
        self._host_names_read += len(new)
        for name in new:
            if name.bytes:
                self._runtime_code.add(name)
                self.version += self._met_runtime_code
                continue
            index = self._table(name.generation).find(name.address)
            if index < 0:
                continue
            key = (index, name.address - self._modules[index].bias)
            self._host_names[key] = name.text
            unnamed = self._unnamed.pop(key, None)
            if unnamed is not None:
                self.version += 1
                for address in unnamed:
                    self._addresses.pop((index, address), None)

        if self._servers is not None:
            arrived = self._servers.arrived(self._arrived)
            self._arrived += len(arrived)
            for build_id in arrived:
                self._take_debug_file(build_id)

    def _take_debug_file(self, build_id: str) -> None:
        """Forgets what was known of a module: its debug file is there now."""
        self._files.forget(build_id)
        self._forget({at for at, one in enumerate(self._modules) if one.build_id == build_id})

    def _forget(self, indices: set[int]) -> None:
        """What was answered for these modules."""
        for table in (self._addresses, self._unnamed):
            for row in [row for row in table if row[0] in indices]:
                del table[row]
        self.version += 1

    def frames(self, pc: int, generation: int) -> tuple[Frame, ...]:
        """The function at `pc` and what was inlined there, innermost first; equal frames are one object.

        Args:
            pc: run-time address in the function: of a return address, the byte before.
            generation: of the module list, when the address was taken.
        """
        index = self._table(generation).find(pc)
        if index < 0:
            # The list is brought up to date after a library's first code has run.
            index = self._table(self._source.generation).find(pc)
        if index < 0:
            self._met_runtime_code = True
            return (self._runtime_code.frame(pc),)
        module = self._modules[index]
        key = (index, pc - module.bias)
        known = self._addresses.get(key)
        if known is None:
            if len(self._addresses) >= _MAX_ADDRESSES:
                for old in list(self._addresses)[: _MAX_ADDRESSES // 2]:
                    del self._addresses[old]
                self._unnamed.clear()
            known = self._addresses[key] = self._look_up(index, key[1])
        return known

    def promote(self, leaf_weights: Mapping[tuple[str, str], int]) -> None:
        """Has compressed DWARF read where it pays: of the files that most samples were taken in.

        Args:
            leaf_weights: samples by path and build id of the leaf's module.
        """
        with self._files.lock:
            self._promote(leaf_weights)

    def _promote(self, leaf_weights: Mapping[tuple[str, str], int]) -> None:
        total = sum(leaf_weights.values())
        budget = _INFLATE_BYTES
        for key in sorted(leaf_weights, key=leaf_weights.__getitem__, reverse=True):
            file = self._files.known(key)
            if leaf_weights[key] * _PROMOTED_SHARE < total:
                break
            if file is None or key not in self._held_back or file.inflates > budget:
                continue
            budget -= file.inflates
            self._held_back.discard(key)
            self._promoted.add(key)
            self._forget({at for at, one in enumerate(self._modules) if one.key == key})

    def end_window(self) -> None:
        """Closes files that were not needed for a while, and, of those with debug information, all but a few."""
        self._files.end_window()

    def _table(self, generation: int) -> _Table:
        table = self._tables.get(generation)
        if table is None:
            self._modules = self._source.modules()
            if len(self._tables) >= _MAX_GENERATIONS:
                del self._tables[min(self._tables)]
            table = self._tables[generation] = _Table(self._modules, generation)
        return table

    def _look_up(self, index: int, address: int) -> tuple[Frame, ...]:
        with self._files.lock:
            return self._frames_of(index, address)

    def _frames_of(self, index: int, address: int) -> tuple[Frame, ...]:
        module = self._modules[index]
        file = self._files.get(module)
        if file is None:  # gone, or replaced by another build
            return (self._frame(identity(module.path, address), module),)
        is_late = time.monotonic() > self.deadline
        is_held_back = module.key not in self._promoted and file.inflates > _CHEAP_BYTES
        if is_held_back:
            self._held_back.add(module.key)
        start, rows = file.lookup(address, symbols_only=is_late or is_held_back)
        if self._servers is not None and file.lacks_debug_file:
            self._servers.want(module.build_id)
        return tuple(
            self._frame(
                _shown(name) if name else self._name(index, start, address), module, source, line
            )
            for name, source, line in rows
        )

    def _name(self, index: int, start: int, address: int) -> str:
        """What to call a function that its file does not name."""
        name = self._host_names.get((index, start))
        if name is None:
            self._unnamed.setdefault((index, start), []).append(address)
            return identity(self._modules[index].path, start)
        return name

    def _frame(self, name: str, module: Module, source: str = "", line: int = 0) -> Frame:
        frame = Frame(name, module.path, module.build_id, source, line)
        if len(self._frames) >= _MAX_FRAMES:
            self._frames.clear()
        return self._frames.setdefault(frame, frame)


def _shown(name: str) -> str:
    """A function's name made readable. CPython's evaluation loop stands for Python code, whichever it is."""
    if name.startswith(_PYTHON_LOOPS):
        return PYTHON
    return demangle(name)


def is_named(frame: Frame) -> bool:
    """Whether a frame has a function's name, as opposed to an identity or a marker."""
    return frame.kind == "native" and frame.address is None
