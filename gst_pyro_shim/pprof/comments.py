# SPDX-License-Identifier: MIT
"""Comments of a profile for what pprof has no field for: a kind, a blank, and an object in JSON.

Context: agent (writes) and controller (reads). Pure.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_INTEGERS_END: Final = 1 << 63
"""As in the segment and in pprof. JSON has no bound, and far larger integers cannot be divided as floats."""


def write(kind: str, content: dict[str, Any]) -> str:
    """The comment of this kind with this content.

    Raises:
        TypeError: JSON has no such values.
    """
    return f"{kind} {json.dumps(content, separators=(',', ':'), sort_keys=True)}"


def read(kind: str, comment: str) -> dict[str, Any] | None:
    """The content of a comment of this kind, its values unchecked; None where it is of another kind, or damaged."""
    if not comment.startswith(f"{kind} "):
        return None
    try:
        content = json.loads(comment[len(kind) :])
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_fields(kind: str, comment: str, of: type[DataclassInstance]) -> dict[str, Any] | None:
    """As `read`, without the keys that are no fields of the dataclass `of`: another version may write more."""
    content = read(kind, comment)
    if content is None:
        return None
    names = {field.name for field in fields(of)}
    return {name: value for name, value in content.items() if name in names}


def is_integer(value: object) -> bool:
    """Whether a value that was read is an integer that fits pprof's 64 bits."""
    return type(value) is int and abs(value) < _INTEGERS_END
