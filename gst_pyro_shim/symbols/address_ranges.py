# SPDX-License-Identifier: MIT
"""Values by ranges of addresses: modules, kernels of ORC, functions of a JIT compiler.

Context: agent. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Value = TypeVar("_Value")


class AddressRanges(Generic[_Value]):
    """Ranges that do not overlap. Of several with one start, the one added last counts."""

    def __init__(self) -> None:
        """Starts empty."""
        self._ranges: dict[int, tuple[int, _Value]] = {}  # by start: end, value
        self._starts: list[int] = []
        self._is_sorted = True

    def add(self, start: int, end: int, value: _Value) -> None:
        """Adds a range.

        Args:
            start: its first address.
            end: the first address after it.
            value: what `find` returns for its addresses.
        """
        self._ranges[start] = (end, value)
        self._is_sorted = False

    def find(self, address: int) -> _Value | None:
        """The value of the range that holds `address`; None for an address in no range."""
        starts = self._sorted_starts()
        at = bisect_right(starts, address) - 1
        if at < 0:
            return None
        end, value = self._ranges[starts[at]]
        return value if address < end else None

    def starting_in(self, start: int, end: int) -> Iterator[_Value]:
        """Values of the ranges that start at `start` or after it, and before `end`."""
        starts = self._sorted_starts()
        for at in range(bisect_left(starts, start), bisect_left(starts, end)):
            yield self._ranges[starts[at]][1]

    def _sorted_starts(self) -> list[int]:
        if not self._is_sorted:
            self._starts = sorted(self._ranges)
            self._is_sorted = True
        return self._starts
