# SPDX-License-Identifier: MIT
"""The segment's lists of the host's code: loaded modules, and functions that only the host can name.

Context: agent, one thread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.segment.abi import constant
from gst_pyro_shim.segment.rows import HostName, Module

if TYPE_CHECKING:
    from gst_pyro_shim.segment.native import Reader

_MAX_MODULES: Final = constant("GP_MODULES")


class HostCode:
    """Modules and names of a mapped segment.

    Attributes:
        pid: of the host.
    """

    def __init__(self, reader: Reader) -> None:
        """Reads nothing yet."""
        self._reader = reader
        self._raw = reader.raw
        self._modules: list[Module] = []
        self.pid = self._raw.host_pid

    @property
    def generation(self) -> int:
        """Of the module list; it changes whenever a module is loaded or unloaded."""
        return self._raw.generation

    def modules(self) -> list[Module]:
        """All modules that were ever loaded, in the order in which they were loaded."""
        raw, text = self._raw, self._reader.text
        for index, known in enumerate(self._modules):
            removed = raw.modules[index].removed
            if removed != known.removed:
                self._modules[index] = replace(known, removed=removed)
        for index in range(len(self._modules), min(raw.module_count, _MAX_MODULES)):
            row = raw.modules[index]
            path, build_id = text(row.path), text(row.build_id)
            self._modules.append(
                Module(row.start, row.end, row.bias, path, build_id, row.added, row.removed)
            )
        return list(self._modules)

    def names(self, first: int) -> list[HostName]:
        """Names that the host has published for its functions, oldest first.

        Args:
            first: index of the first one wanted; earlier ones are left out.
        """
        raw, text = self._raw, self._reader.text
        rows = (raw.names[index] for index in range(first, self._reader.names()))
        return [HostName(row.address, row.bytes, text(row.text), row.generation) for row in rows]
