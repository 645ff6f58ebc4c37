# SPDX-License-Identifier: MIT
"""ELF files by the extension `_native`: names of addresses, and names demangled.

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
        """Opens a file.

        Args:
            path: of the file.
            build_id: hex; "": not known.

        Returns:
            None where the file is missing, no ELF file, or of another build.
        """
        status = _ffi.new("uint32_t *")
        raw = path.encode("utf-8", "surrogateescape")
        pointer = _lib.gp_elf_open(raw, build_id.encode(), status)
        return cls(pointer) if pointer != _ffi.NULL else None

    def close(self) -> None:
        """Closes it and frees its memory. No other method may be called afterwards."""
        _lib.gp_elf_close(self._pointer)
        self._pointer = _ffi.NULL

    @property
    def has_dwarf(self) -> bool:
        """Its DWARF was read, which holds much memory."""
        return bool(_lib.gp_elf_has_dwarf(self._pointer))

    @property
    def inflates(self) -> int:
        """Bytes of memory that decompressing its DWARF would need; 0: none is compressed, or it was read."""
        return int(_lib.gp_elf_inflates(self._pointer))

    @property
    def lacks_debug_file(self) -> bool:
        """Neither the file nor this machine has debug information for it; known after a lookup."""
        return bool(_lib.gp_elf_lacks_debug_file(self._pointer))

    def lookup(self, address: int, *, symbols_only: bool) -> tuple[int, list[tuple[str, str, int]]]:
        """The function at an ELF address and the calls inlined there.

        Args:
            address: in the function.
            symbols_only: debug information, which may take long, is not read.

        Returns:
            ELF address at which the function starts, and rows of (mangled name, source file, line), innermost first:
            "" and 0 for what is not known.
        """
        out = self._symbols
        _lib.gp_elf_lookup(self._pointer, address, symbols_only, out)
        return out.start, [
            (_text(one.name), _text(one.file), one.line) for one in out.frames[0 : out.count]
        ]


def use_cache(folder: str) -> None:
    """Has files that are opened from now on look for their debug files in `folder`/<build id>/debuginfo."""
    _lib.gp_elf_use_cache(folder.encode("utf-8", "surrogateescape"))


def alternate_build_id(path: str) -> str:
    """Build id of the alternate debug file (dwz) that the debug file at `path` refers to; "" for none."""
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
