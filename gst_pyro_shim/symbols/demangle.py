# SPDX-License-Identifier: MIT
"""Names of C++ and Rust functions as they are in the source.

Context: agent. Pure.
"""

from __future__ import annotations

from gst_pyro_shim.symbols import elf_file


def demangle(name: str) -> str:
    """Demangles a C++ or Rust name; returns any other as it is, without the version that a symbol table may append."""
    plain = name.partition("@")[0] or name
    if plain.startswith(("_R", "_Z")):
        return elf_file.demangle(plain) or plain
    return plain
