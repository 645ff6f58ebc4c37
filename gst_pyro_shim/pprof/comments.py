# SPDX-License-Identifier: MIT
"""How a profile's comments tell what pprof has no field for: a kind, a blank, and an object in JSON.

Context: agent (writes) and controller (reads). Pure.
"""

from __future__ import annotations

import json
from typing import Any, Final

_INTEGERS_END: Final = 1 << 63
"""As in the segment and in pprof. JSON has no bound, and what lies far beyond cannot be divided."""


def write(kind: str, told: dict[str, Any]) -> str:
    """The comment of this kind that tells `told`."""
    return f"{kind} {json.dumps(told, separators=(',', ':'), sort_keys=True)}"


def read(kind: str, comment: str) -> dict[str, Any] | None:
    """What a comment of this kind tells, its values unchecked; None where it is of another kind, or damaged."""
    if not comment.startswith(f"{kind} "):
        return None
    try:
        told = json.loads(comment[len(kind) :])
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def is_integer(value: object) -> bool:
    """Whether a value that was read is a number as pprof has them."""
    return type(value) is int and abs(value) < _INTEGERS_END
