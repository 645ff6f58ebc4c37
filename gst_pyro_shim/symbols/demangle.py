# SPDX-License-Identifier: MIT
"""Names of C++ and Rust functions as people write them.

C++ goes through the C++ library's own demangler. Rust's two schemes are read here: the legacy one looks like C++ but
carries a hash and escapes; v0 is that of RFC 2603.

Context: agent. Pure; a name that cannot be read comes back as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.symbols import elf_file

if TYPE_CHECKING:
    from collections.abc import Callable

_LEGACY: Final = re.compile(r"_?_ZN(.+)17h[0-9a-f]{16}E(?:\.llvm\..*)?$")
_V0: Final = re.compile(r"_?_R(?=[A-Z])")
_ESCAPES: Final = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
_ESCAPE: Final = re.compile(r"\$(?:([A-Z]{1,2})|u([0-9a-f]{1,6}))\$")
_MAX_DEPTH: Final = 100
_MAX_CHARS: Final = 50_000  # written in all, parts of parts counted again

_BASIC_TYPES: Final = {
    "a": "i8",
    "b": "bool",
    "c": "char",
    "d": "f64",
    "e": "str",
    "f": "f32",
    "h": "u8",
    "i": "isize",
    "j": "usize",
    "l": "i32",
    "m": "u32",
    "n": "i128",
    "o": "u128",
    "p": "_",
    "s": "i16",
    "t": "u16",
    "u": "()",
    "v": "...",
    "x": "i64",
    "y": "u64",
    "z": "!",
}


def demangle(name: str) -> str:
    """`name` made readable where it is C++ or Rust; without the version that a symbol table may append."""
    plain = name.partition("@")[0] or name
    if not plain.startswith(("_", "$")):
        return plain
    legacy = _LEGACY.match(plain)
    if legacy is not None:
        return _legacy_rust(legacy[1]) or plain
    start = _V0.match(plain)
    if start is not None:
        try:
            return _V0Reader(plain[start.end() :]).symbol()
        except (ValueError, IndexError, RecursionError):
            return plain
    if plain.startswith("_Z"):
        return elf_file.demangle(plain) or plain
    return plain


def _legacy_rust(body: str) -> str:
    parts = []
    while body:
        digits = re.match(r"\d+", body)
        if digits is None:
            return ""
        length = int(digits[0])
        part, body = body[digits.end() :][:length], body[digits.end() + length :]
        parts.append(_unescaped(part))
    return "::".join(parts)


def _unescaped(part: str) -> str:
    # A part that would begin with an escape got an underscore before it.
    text = part[1:] if part.startswith("_$") else part

    def plain(found: re.Match[str]) -> str:
        if found[2]:
            return chr(min(int(found[2], 16), 0x10FFFF))
        return _ESCAPES.get(found[1], found[0])

    return _ESCAPE.sub(plain, text).replace("..", "::")


class _V0Reader:
    """Reads one symbol of scheme v0. ValueError or IndexError: it is none."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._chars = 0

    def symbol(self) -> str:
        return self._path(in_value=True)

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, char: str) -> bool:
        if self._text[self._at : self._at + 1] != char:
            return False
        self._at += 1
        return True

    def _until_end(self, read: Callable[[], str]) -> list[str]:
        out = []
        while not self._take("E"):
            out.append(read())
        return out

    def _nested(self, read: Callable[[], str]) -> str:
        """Bounded in depth and length: back references can make a short symbol mean a huge one."""
        self._depth += 1
        if self._depth > _MAX_DEPTH or self._chars > _MAX_CHARS:
            raise ValueError(self._text)
        text = read()
        self._depth -= 1
        self._chars += len(text)
        return text

    def _base62(self) -> int:
        digits = self._text[self._at : self._text.index("_", self._at)]
        self._at += len(digits) + 1
        value = 0
        for digit in digits:
            if not digit.isascii() or not digit.isalnum():
                raise ValueError(digits)
            # 0-9, a-z, A-Z
            value = value * 62 + int(digit, 36) + (26 if digit.isupper() else 0)
        return value + 1 if digits else 0

    def _back_reference(self, read: Callable[[], str]) -> str:
        target, here = self._base62(), self._at
        if target >= here - 1:
            raise ValueError(target)
        self._at = target
        text = self._nested(read)
        self._at = here
        return text

    def _identifier(self) -> tuple[str, int]:
        """The name, and what tells namesakes apart."""
        number = self._base62() + 1 if self._take("s") else 0
        return self._plain_identifier(), number

    def _plain_identifier(self) -> str:
        is_punycode = self._take("u")
        digits = re.compile(r"0|[1-9]\d*").match(self._text, self._at)
        if digits is None:
            raise ValueError(self._text)
        self._at = digits.end()
        self._take("_")
        name = self._text[self._at : self._at + int(digits[0])]
        if len(name) != int(digits[0]):
            raise ValueError(self._text)
        self._at += len(name)
        if is_punycode:
            head, mark, tail = name.rpartition("_")
            return (head + ("-" if mark else "") + tail).encode().decode("punycode")
        return name

    def _path(self, *, in_value: bool = False) -> str:
        return self._nested(lambda: self._path_at(in_value=in_value))

    def _path_at(self, *, in_value: bool) -> str:
        kind = self._next()
        if kind == "C":
            return self._identifier()[0]
        if kind in "MX":
            if self._take("s"):
                self._base62()
            self._path()  # where the impl stands: says nothing that its type does not
            return self._impl(with_trait=kind == "X")
        if kind == "Y":
            return self._impl(with_trait=True)
        if kind == "N":
            return self._nested_name(in_value=in_value)
        if kind == "I":
            path = self._path(in_value=in_value)
            arguments = [one for one in self._until_end(self._generic_argument) if one]
            joint = "::" if in_value else ""
            return f"{path}{joint}<{', '.join(arguments)}>" if arguments else path
        if kind == "B":
            return self._back_reference(lambda: self._path(in_value=in_value))
        raise ValueError(kind)

    def _impl(self, *, with_trait: bool) -> str:
        of = self._type()
        return f"<{of} as {self._path()}>" if with_trait else f"<{of}>"

    def _nested_name(self, *, in_value: bool) -> str:
        space = self._next()
        path = self._path(in_value=in_value)
        name, number = self._identifier()
        if space.isupper():
            what = {"C": "closure", "S": "shim"}.get(space, space)
            return f"{path}::{{{what}{':' + name if name else ''}#{number}}}"
        return f"{path}::{name}" if name else path

    def _generic_argument(self) -> str:
        if self._take("L"):
            self._base62()  # lifetimes do not tell functions apart
            return ""
        return self._const() if self._take("K") else self._type()

    def _type(self) -> str:
        return self._nested(self._type_at)

    def _type_at(self) -> str:  # noqa: PLR0911  one return a kind
        kind = self._next()
        if kind in _BASIC_TYPES:
            return _BASIC_TYPES[kind]
        if kind in "RQ":
            if self._take("L"):
                self._base62()
            return ("&mut " if kind == "Q" else "&") + self._type()
        if kind in "PO":
            return ("*mut " if kind == "O" else "*const ") + self._type()
        if kind == "S":
            return f"[{self._type()}]"
        if kind == "A":
            return f"[{self._type()}; {self._const()}]"
        if kind == "T":
            types = self._until_end(self._type)
            return f"({types[0]},)" if len(types) == 1 else f"({', '.join(types)})"
        if kind == "F":
            return self._function()
        if kind == "D":
            return self._dyn()
        if kind == "B":
            return self._back_reference(self._type)
        self._at -= 1
        return self._path()

    def _function(self) -> str:
        if self._take("G"):
            self._base62()
        unsafe = "unsafe " if self._take("U") else ""
        abi = ""
        if self._take("K"):
            name = "C" if self._take("C") else self._plain_identifier().replace("_", "-")
            abi = f'extern "{name}" '
        parameters = ", ".join(self._until_end(self._type))
        result = self._type()
        return f"{unsafe}{abi}fn({parameters})" + ("" if result == "()" else f" -> {result}")

    def _dyn(self) -> str:
        if self._take("G"):
            self._base62()
        bounds = self._until_end(self._bound)
        if not self._take("L"):
            raise ValueError(self._text)
        self._base62()
        return "dyn " + " + ".join(bounds)

    def _bound(self) -> str:
        path = self._path()
        while self._take("p"):
            binding = f"{self._plain_identifier()} = {self._type()}"
            path = f"{path[:-1]}, {binding}>" if path.endswith(">") else f"{path}<{binding}>"
        return path

    def _const(self) -> str:
        if self._take("p"):
            return "_"
        if self._take("B"):
            return self._back_reference(self._const)
        kind = _BASIC_TYPES.get(self._next(), "")
        sign = "-" if self._take("n") else ""
        digits = self._text[self._at : self._text.index("_", self._at)]
        self._at += len(digits) + 1
        value = int(digits or "0", 16)
        if kind == "bool":
            return "true" if value else "false"
        if kind == "char":
            return repr(chr(value))
        if kind[:1] not in {"i", "u"}:
            raise ValueError(kind)
        return f"{sign}{value}"
