# SPDX-License-Identifier: MIT
"""Divides time among samples.

Context: agent. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def scale(weights: Sequence[int], total: int) -> list[int]:
    """Divides `total` in proportion to `weights`, into integers whose sum is exactly `total`.

    Args:
        weights: none negative, at least one positive.
        total: not negative.

    Returns:
        One part for each weight, in their order.

    Raises:
        ZeroDivisionError: no weight is positive.
    """
    whole = sum(weights)
    parts = []
    weight_so_far = assigned = 0
    for weight in weights:
        weight_so_far += weight
        end = total * weight_so_far // whole
        parts.append(end - assigned)
        assigned = end
    return parts
