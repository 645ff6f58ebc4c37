# SPDX-License-Identifier: MIT
"""Files of code by the extension `_native`: names of addresses, and names made readable.

Each call releases the GIL. Meanings are those of csrc/agent/symbolizer.h.

Context: agent. Needs nothing but the extension.
"""

from __future__ import annotations

from typing import Any

from gst_pyro_shim import _native

_lib: Any = _native.lib
_ffi: Any = _native.ffi


class ElfFile:
    """One ELF file that is open for lookups."""

    def __init__(self, pointer: Any) -> None:
        """Wraps a `struct gp_elf_file *`, which it owns."""
        self._pointer = pointer
        self._symbols = _ffi.new("struct gp_symbols *")

    @classmethod
    def open(cls, path: str, build_id: str) -> ElfFile | None:
        """The file, if it is there and of this build ("": not known)."""
        status = _ffi.new("uint32_t *")
        raw = path.encode("utf-8", "surrogateescape")
        pointer = _lib.gp_elf_open(raw, build_id.encode(), status)
        return cls(pointer) if pointer != _ffi.NULL else None

    def close(self) -> None:
        """Gives its memory back. Nothing else may be called afterwards."""
        _lib.gp_elf_close(self._pointer)
        self._pointer = _ffi.NULL

    @property
    def has_dwarf(self) -> bool:
        """DWARF was read: it holds much memory."""
        return bool(_lib.gp_elf_has_dwarf(self._pointer))

    @property
    def inflates(self) -> int:
        """Bytes that reading its DWARF would inflate; 0: nothing, or it was read."""
        return int(_lib.gp_elf_inflates(self._pointer))

    @property
    def lacks_debug_file(self) -> bool:
        """Neither the file nor the system has debug information for it; known after a lookup."""
        return bool(_lib.gp_elf_lacks_debug_file(self._pointer))

    def lookup(self, address: int, *, symbols_only: bool) -> tuple[int, list[tuple[str, str, int]]]:
        """Start of the function at an ELF address, and (mangled name, file, line), innermost first."""
        out = self._symbols
        _lib.gp_elf_lookup(self._pointer, address, symbols_only, out)
        return out.start, [
            (_text(one.name), _text(one.file), one.line) for one in out.frames[0 : out.count]
        ]


def use_cache(folder: str) -> None:
    """Has files that are opened from now on look for debug files there: `<build id>/debuginfo`."""
    _lib.gp_elf_use_cache(folder.encode("utf-8", "surrogateescape"))


def alternate_build_id(path: str) -> str:
    """Of the alternate debug file (dwz) that a debug file refers to; "" for none."""
    out = _ffi.new("char[129]")
    _lib.gp_elf_alternate(path.encode("utf-8", "surrogateescape"), out)
    return _text(out)


def _text(pointer: Any) -> str:
    if pointer == _ffi.NULL:
        return ""
    raw: bytes = _ffi.string(pointer)
    return raw.decode("utf-8", "replace")


def demangle(name: str) -> str:
    """A mangled C++ or Rust name made readable; "" where it is none, or its text would be too long."""
    pointer = _lib.gp_demangle(name.encode("utf-8", "replace"))
    if pointer == _ffi.NULL:
        return ""
    try:
        return _text(pointer)
    finally:
        _lib.gp_demangle_free(pointer)
