# SPDX-License-Identifier: MIT
"""What has not been met for long, said with fewer words: room for what is met now.

Context: agent, for its file, and controller. No I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gst_pyro_shim.pprof.model import Frame, element_frame

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_NS: Final = 60_000_000_000
"""Of windows' starts: what was last met so long before the newest one is long gone."""
ENOUGH: Final = 0.75
"""Of the room: with less in use, nothing more is folded."""


class Key(NamedTuple):
    """What tells sums apart: a stack with its labels, on a thread of a process."""

    frames: tuple[Frame, ...]
    labels: tuple[tuple[str, str], ...]
    tid: int
    pid: int


class Value(NamedTuple):
    """A sum, and the start of the last window that added to it, ns."""

    cpu_ns: int
    samples: int
    met_ns: int


def fold(values: dict[Key, Value], now_ns: int, enough: int) -> int:
    """Folds keys that are long gone, in place: first threads become one, then elements of one factory.

    Args:
        values: sums.
        now_ns: start of the newest window.
        enough: number of keys with which the second step is not needed.

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
    old = [key for key, value in values.items() if value.met_ns < now_ns - LONG_NS]
    for key in old:
        cpu_ns, samples, met_ns = values.pop(key)
        into = folded(key)
        known = values.get(into, Value(0, 0, 0))
        values[into] = Value(
            known.cpu_ns + cpu_ns, known.samples + samples, max(known.met_ns, met_ns)
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
    """CPU of no element has few names but for the state changes of bins, of which each has one."""
    return "[state change of *]" if name.startswith("[state change of ") else name
