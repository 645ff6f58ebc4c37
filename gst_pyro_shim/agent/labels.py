# SPDX-License-Identifier: MIT
"""Labels by their keys, as a profile says them.

A label's row in the segment is another's once it was freed, so what a window still needs of it is kept until its end.

Context: agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gst_pyro_shim.pprof.model import Frame, element_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Label, Step


_SHARED_FRAMES: Final = 10_000
"""Frames that are kept for later windows."""


class LabelRows(Protocol):
    """Where labels are read: a `LabelTable`."""

    @property
    def moves(self) -> int:
        """How often an element was put into another bin."""

    def path(self, key: int) -> list[Step]:
        """An element with the bins around it."""


class Labels:
    """What is said of each label.

    Attributes:
        version: raised where it says another thing of a label than before.
    """

    def __init__(self, rows: LabelRows, names: Names) -> None:
        """Knows none yet."""
        self._rows = rows
        self._names = names
        self._known: dict[int, Label] = {}
        self._frames: dict[int, Frame] = {}
        self._shared: dict[Label, Frame] = {}
        self._in_stacks: set[int] = set()
        self._pinned: set[int] = set()
        self._freed: set[int] = set()
        self._moved = rows.moves
        self.version = 0

    def label(self, key: int) -> Label:
        """A label by its key; one that does not exist reads as CPU of no element."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._names.label(self._rows.path(key))
        return known

    def frame(self, key: int) -> Frame:
        """The frame that stands for a label in a stack; the same object each time."""
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = self.frame_of(self.label(key))
            self._in_stacks.add(key)
        return frame

    def frame_of(self, label: Label) -> Frame:
        """The frame of whatever elements this is said of; the same object each time in a window."""
        frame = self._shared.get(label)
        if frame is None:
            frame = element_frame(label.name, label.factory, label.path)
            self._shared[label] = frame
        return frame

    def refresh(self) -> None:
        """Forgets what is said of elements that may have moved; not of those that have ended."""
        if self._rows.moves == self._moved:
            return
        self._moved = self._rows.moves
        for known in (self._known, self._frames):
            for key in [key for key in known if key not in self._pinned]:
                del known[key]
        self.version += 1

    def ending(self, keys: Iterable[int]) -> None:
        """These labels have ended; the bins around them may be freed before they are, so what is said of them stays."""
        for key in keys:
            if key in self._in_stacks:
                self.frame(key)
            else:
                self.label(key)
            self._pinned.add(key)

    def freed(self, keys: Iterable[int]) -> None:
        """The rows of these labels are others' from now on; what stacks say of them is kept until the window's end."""
        for key in keys:
            self._names.freed(key)
            if key in self._in_stacks:
                self._in_stacks.discard(key)
                self._freed.add(key)
            else:
                self._known.pop(key, None)
                self._pinned.discard(key)

    def end_window(self) -> None:
        """Nothing is asked any more of labels that were freed."""
        for key in self._freed:
            self._known.pop(key, None)
            self._frames.pop(key, None)
        self._pinned -= self._freed
        self._freed.clear()
        if len(self._shared) > _SHARED_FRAMES:
            self._shared.clear()
