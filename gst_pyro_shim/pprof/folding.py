# SPDX-License-Identifier: MIT
"""Folds sums that were not added to for long, which makes room for new ones.

Context: agent, for its file, and controller. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gst_pyro_shim.pprof.model import Frame, element_frame

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_NS: Final = 60_000_000_000
"""A sum is old when the last window that added to it began this long before the newest window."""
ENOUGH: Final = 0.75
"""Part of the room: once no more is in use, elements are not folded."""


class Key(NamedTuple):
    """Identifies a sum: a stack with its labels, on a thread of a process."""

    frames: tuple[Frame, ...]
    labels: tuple[tuple[str, str], ...]
    tid: int
    pid: int


class Value(NamedTuple):
    """A sum, and the start of the last window that added to it, ns since 1970."""

    cpu_ns: int
    samples: int
    seen_ns: int


def fold(values: dict[Key, Value], now_ns: int, enough: int) -> int:
    """Folds old sums in place: first all threads into one, then elements into their factory.

    Args:
        values: sums; those that are not old stay as they are.
        now_ns: start of the newest window, ns since 1970.
        enough: number of sums; where the first step leaves no more, the second is not made.

    Returns:
        How many elements lost their names.
    """
    _fold(values, now_ns, lambda key: key._replace(tid=0))
    if len(values) <= enough:
        return 0
    before = {frame for key in values for frame in key.frames if frame.kind == "element"}
    _fold(values, now_ns, _by_factory)
    return len(before - {frame for key in values for frame in key.frames})


def _fold(values: dict[Key, Value], now_ns: int, folded: Callable[[Key], Key]) -> None:
    old = [key for key, value in values.items() if value.seen_ns < now_ns - LONG_NS]
    for key in old:
        cpu_ns, samples, seen_ns = values.pop(key)
        into = folded(key)
        known = values.get(into, Value(0, 0, 0))
        values[into] = Value(
            known.cpu_ns + cpu_ns, known.samples + samples, max(known.seen_ns, seen_ns)
        )


def _by_factory(key: Key) -> Key:
    labels = dict(key.labels)
    factory = labels.get("factory", "")
    kept = {"element": f"{factory}*", "factory": factory} if factory else {}
    if not factory and "element" in labels:
        kept["element"] = _state_change(labels["element"])
    return key._replace(frames=tuple(map(_frame, key.frames)), labels=tuple(kept.items()))


def _frame(frame: Frame) -> Frame:
    if frame.kind != "element":
        return frame
    if not frame.factory:
        return element_frame(_state_change(frame.name))
    name = f"{frame.factory}*"
    return element_frame(name, frame.factory, f"/*/{name}")


def _state_change(name: str) -> str:
    """Name of CPU time of no element, the same for the state changes of all bins: each bin has a name of its own."""
    return "[state change of *]" if name.startswith("[state change of ") else name
