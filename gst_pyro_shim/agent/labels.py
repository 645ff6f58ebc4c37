# SPDX-License-Identifier: MIT
"""Labels by their keys, as a profile shows them: names, frames, and the string labels of samples.

Once a label's row is freed, it becomes another label's. What a window still needs of it is kept until the window's end.

Context: agent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gst_pyro_shim.pprof.model import Frame, element_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Label, Step


_MAX_SHARED_FRAMES: Final = 10_000
"""Frames that are kept for later windows."""


class LabelRows(Protocol):
    """Where labels are read: a `LabelTable`."""

    @property
    def moves(self) -> int:
        """How often an element was put into another bin."""

    def path(self, key: int) -> list[Step]:
        """An element with the bins around it, outermost first."""


class Labels:
    """Labels and their frames by key.

    Attributes:
        version: increased when a frame that was returned before may be another now.
    """

    def __init__(self, rows: LabelRows, names: Names) -> None:
        """Reads nothing yet.

        Args:
            rows: where labels are read.
            names: bounds the names that are shown.
        """
        self._rows = rows
        self._names = names
        self._known: dict[int, Label] = {}
        self._frames: dict[int, Frame] = {}
        self._shared: dict[Label, Frame] = {}
        self._in_stacks: set[int] = set()
        self._pinned: set[int] = set()
        self._released: set[int] = set()
        self._moves = rows.moves
        self.version = 0

    def label(self, key: int) -> Label:
        """A label by its key; one that does not exist reads as CPU time of no element."""
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._names.label(self._rows.path(key))
        return known

    def frame(self, key: int) -> Frame:
        """The frame of a label in a stack; the same object each time."""
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = self.frame_of(self.label(key))
            self._in_stacks.add(key)
        return frame

    def frame_of(self, label: Label) -> Frame:
        """The frame of all elements that are shown as this label; the same object each time in a window."""
        frame = self._shared.get(label)
        if frame is None:
            frame = element_frame(label.name, label.factory, label.path)
            self._shared[label] = frame
        return frame

    def refresh(self) -> None:
        """Discards labels and frames where an element has moved to another bin; those of ended labels stay."""
        if self._rows.moves == self._moves:
            return
        self._moves = self._rows.moves
        for known in (self._known, self._frames):
            for key in [key for key in known if key not in self._pinned]:
                del known[key]
        self.version += 1

    def pin(self, keys: Iterable[int]) -> None:
        """Reads labels that have ended, and keeps them: the bins around their elements may be freed first."""
        for key in keys:
            if key in self._in_stacks:
                self.frame(key)
            else:
                self.label(key)
            self._pinned.add(key)

    def release(self, keys: Iterable[int]) -> None:
        """Discards labels whose rows are about to be freed; those in stacks are kept until the window's end."""
        for key in keys:
            self._names.release(key)
            if key in self._in_stacks:
                self._in_stacks.discard(key)
                self._released.add(key)
            else:
                self._known.pop(key, None)
                self._pinned.discard(key)

    def end_window(self) -> None:
        """Discards the labels that were released in this window."""
        for key in self._released:
            self._known.pop(key, None)
            self._frames.pop(key, None)
        self._pinned -= self._released
        self._released.clear()
        if len(self._shared) > _MAX_SHARED_FRAMES:
            self._shared.clear()


def sample_labels(label: Label, thread_name: str) -> Iterator[tuple[str, str]]:
    """String labels of a sample, (key, value). A server makes series of them: none may differ from run to run.

    Args:
        label: the innermost label.
        thread_name: "" where it is not known.
    """
    yield "element", label.name
    if label.factory:
        yield "factory", label.factory
    if label.pipeline:
        yield "pipeline", label.pipeline
    if thread_name:
        yield "thread", thread_name
    # Elements directly in the pipeline are known by their name; only in bins below can there be namesakes.
    if label.kind == "element" and label.path.count("/") > 2:
        yield "path", label.path
