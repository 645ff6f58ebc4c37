# SPDX-License-Identifier: MIT
"""Time divided among samples.

Context: agent. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def scale(weights: Sequence[int], total: int) -> list[int]:
    """Parts of `total` in proportion to `weights`, whole numbers whose sum is exactly `total`.

    Args:
        weights: none negative, at least one positive.
        total: not negative.
    """
    whole = sum(weights)
    parts, passed, given = [], 0, 0
    for weight in weights:
        passed += weight
        upto = total * passed // whole
        parts.append(upto - given)
        given = upto
    return parts
