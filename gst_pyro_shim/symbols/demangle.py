# SPDX-License-Identifier: MIT
"""Names of C++ and Rust functions as people write them.

Context: agent. Pure; a name that cannot be read comes back as it is.
"""

from __future__ import annotations

from gst_pyro_shim.symbols import elf_file


def demangle(name: str) -> str:
    """`name` made readable where it is C++ or Rust; without the version that a symbol table may append."""
    plain = name.partition("@")[0] or name
    if plain.startswith(("_R", "_Z")):
        return elf_file.demangle(plain) or plain
    return plain
