# SPDX-License-Identifier: MIT
"""Addresses of the host become frames: module, function, inlined calls, source line.

A function that no file names may have a name in the host (csrc/shim/names/names.h). Without any name its frame is an
identity, `module+0x<start of the function>`. The raw address is never shown: it would make a frame of every
instruction. Results are cached over windows; the caches are bounded.

Context: agent. Reads files; waits for nothing from the network.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final, Protocol

from gst_pyro_shim.pprof.model import PYTHON, Frame, identity
from gst_pyro_shim.symbols.address_ranges import AddressRanges
from gst_pyro_shim.symbols.demangle import demangle
from gst_pyro_shim.symbols.elf_cache import ElfCache
from gst_pyro_shim.symbols.jit_names import JitNames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.segment.rows import HostName, Module

_PYTHON_LOOPS: Final = ("_PyEval_EvalFrameDefault", "PyEval_EvalFrameEx", "_TAIL_CALL_")
"""CPython's evaluation loop, also in parts where the compiler split it (.cold, .lto_priv); in 3.14 there may be a
function for each opcode."""

_MAX_ADDRESSES: Final = 50_000
_MAX_FRAMES: Final = 100_000
_MAX_GENERATIONS: Final = 4
_CHEAP_BYTES: Final = 1 << 20
"""Compressed debug information up to this size is always read."""
_PROMOTED_SHARE: Final = 20
"""Larger one is read for a module in which one leaf in so many, or more, of a window's samples lies."""
_INFLATE_BYTES: Final = 64 << 20
"""Of it, at most so much is read after one window."""

_Address = tuple[int, int]
"""Index of a module in the list of modules, and an ELF address in it."""


class ModuleSource(Protocol):
    """Where the lists of modules and names are read: a `HostCode`."""

    @property
    def pid(self) -> int:
        """Of the host."""

    @property
    def generation(self) -> int:
        """Of the list of modules."""

    def modules(self) -> list[Module]:
        """All modules that were ever loaded, in an order that never changes."""

    def names(self, first: int) -> list[HostName]:
        """Names that the host has published, from index `first` on."""


class DebugFileServers(Protocol):
    """Fetches debug files in the background: a `Debuginfod`."""

    def want(self, build_id: str) -> None:
        """Counts one more request for this file."""

    def arrived(self, first: int) -> list[str]:
        """Build ids of fetched files, from index `first` on."""


class Symbolizer:
    """Names addresses of one host.

    Attributes:
        deadline: time (time.monotonic, s) from which debug information, which may take long, is not read any more.
        version: increased when an address that was named before would be named otherwise now.
    """

    def __init__(
        self,
        source: ModuleSource,
        servers: DebugFileServers | None = None,
        elf_files: ElfCache | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            source: the host's modules and names.
            servers: fetches debug files that are not on this machine; None: nothing is fetched.
            elf_files: open files, shared with other symbolizers; None: its own.
        """
        self.deadline = math.inf
        self.version = 0
        self._source = source
        self._servers = servers
        self._arrived = len(servers.arrived(0)) if servers is not None else 0
        self._modules: list[Module] = []
        self._tables: dict[int, AddressRanges[int]] = {}  # indices of modules, by generation
        self._known: dict[_Address, tuple[Frame, ...]] = {}
        self._interned: dict[Frame, Frame] = {}
        self._elf_files = elf_files or ElfCache()
        self._host_names: dict[_Address, str] = {}  # by the function's start
        self._host_names_read = 0
        self._unnamed: dict[
            _Address, list[int]
        ] = {}  # by the function's start: ELF addresses in it
        self._promoted: set[tuple[str, str]] = set()
        self._held_back: set[tuple[str, str]] = set()  # their compressed DWARF was not read
        self._jit_names = JitNames(source.pid)
        self._has_jit_code = False

    def refresh(self) -> None:
        """Reads the names that the host has published, and takes note of debug files that were fetched."""
        new = self._source.names(self._host_names_read)
        self._host_names_read += len(new)
        for name in new:
            self._add_host_name(name)
        if self._servers is not None:
            arrived = self._servers.arrived(self._arrived)
            self._arrived += len(arrived)
            for build_id in arrived:
                self._elf_files.forget(build_id)
                self._forget(
                    {at for at, one in enumerate(self._modules) if one.build_id == build_id}
                )

    def _add_host_name(self, name: HostName) -> None:
        if name.bytes:
            self._jit_names.add(name)
            self.version += self._has_jit_code
            return
        index = self._table(name.generation).find(name.address)
        if index is None:
            return
        start = (index, name.address - self._modules[index].bias)
        self._host_names[start] = name.text
        unnamed = self._unnamed.pop(start, None)
        if unnamed is not None:
            self.version += 1
            for address in unnamed:
                self._known.pop((index, address), None)

    def _forget(self, indices: set[int]) -> None:
        """Discards the results for these modules."""
        for results in (self._known, self._unnamed):
            for key in [key for key in results if key[0] in indices]:
                del results[key]
        self.version += 1

    def frames(self, pc: int, generation: int) -> tuple[Frame, ...]:
        """The function at `pc` and the calls inlined there, innermost first; equal frames are one object.

        Args:
            pc: run-time address in the function: for a return address, the byte before it.
            generation: of the module list, when the address was recorded.
        """
        index = self._table(generation).find(pc)
        if index is None:
            # The shim updates the list only after a library's first code has run.
            index = self._table(self._source.generation).find(pc)
        if index is None:
            self._has_jit_code = True
            return (self._jit_names.frame(pc),)
        key = (index, pc - self._modules[index].bias)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MAX_ADDRESSES:
                for old in list(self._known)[: _MAX_ADDRESSES // 2]:
                    del self._known[old]
                self._unnamed.clear()
            with self._elf_files.lock:
                known = self._known[key] = self._look_up(*key)
        return known

    def _table(self, generation: int) -> AddressRanges[int]:
        """Modules of one generation."""
        table = self._tables.get(generation)
        if table is None:
            self._modules = self._source.modules()
            if len(self._tables) >= _MAX_GENERATIONS:
                del self._tables[min(self._tables)]
            table = self._tables[generation] = AddressRanges()
            for index, one in enumerate(self._modules):
                if one.added <= generation and not 0 < one.removed <= generation:
                    table.add(one.start, one.end, index)
        return table

    def promote(self, leaf_weights: Mapping[tuple[str, str], int]) -> None:
        """Has large compressed DWARF read from now on for the modules in which most leaves lie.

        Args:
            leaf_weights: ticks of a window's samples by path and build id of the leaf's module.
        """
        total = sum(leaf_weights.values())
        budget = _INFLATE_BYTES
        with self._elf_files.lock:
            for key in sorted(leaf_weights, key=leaf_weights.__getitem__, reverse=True):
                file = self._elf_files.known(key)
                if leaf_weights[key] * _PROMOTED_SHARE < total:
                    break
                if file is None or key not in self._held_back or file.inflates > budget:
                    continue
                budget -= file.inflates
                self._held_back.discard(key)
                self._promoted.add(key)
                self._forget({at for at, one in enumerate(self._modules) if one.key == key})

    def end_window(self) -> None:
        """Closes files that are not needed any more."""
        self._elf_files.end_window()

    def _look_up(self, index: int, address: int) -> tuple[Frame, ...]:
        module = self._modules[index]
        file = self._elf_files.get(module)
        if file is None:
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
                _readable(name) if name else self._name(index, start, address), module, source, line
            )
            for name, source, line in rows
        )

    def _name(self, index: int, start: int, address: int) -> str:
        """Name of the function at `start`, which its file does not name: the host's, else an identity."""
        name = self._host_names.get((index, start))
        if name is None:
            self._unnamed.setdefault((index, start), []).append(address)
            return identity(self._modules[index].path, start)
        return name

    def _frame(self, name: str, module: Module, source: str = "", line: int = 0) -> Frame:
        frame = Frame(name, module.path, module.build_id, source, line)
        if len(self._interned) >= _MAX_FRAMES:
            self._interned.clear()
        return self._interned.setdefault(frame, frame)


def _readable(name: str) -> str:
    """A function's name, demangled. All parts of CPython's evaluation loop are `PYTHON`: they run Python code."""
    if name.startswith(_PYTHON_LOOPS):
        return PYTHON
    return demangle(name)


def is_named(frame: Frame) -> bool:
    """Whether a frame has a function's name, as opposed to an identity or a marker."""
    return frame.kind == "native" and frame.address is None
