# SPDX-License-Identifier: MIT
"""Names in profiles: bounded, however many elements and threads come and go.

GStreamer numbers elements that nobody named: `identity0`, `identity1`, … In a host whose pipelines come and go, each
name would be a series of its own in a server, and a row in a table. Beyond a limit, a name that GStreamer made up is
folded under its factory, `identity*`; the first few names of each factory are always kept. Names that people gave are
kept. Threads are named after elements, so their names with a number in them are folded likewise.

Several pipelines may have one name. Those that live at the same time are numbered: `camera`, `camera#2`, …

Context: agent. Pure.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.segment.rows import FIXED_NAMES, UNLABELLED, Label
from gst_pyro_shim.settings.model import FIRST_OF_FACTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gst_pyro_shim.segment.rows import Step

MAX_NAMESAKES: Final = 64
"""Pipelines of one name that have numbers at the same time; further ones are `camera#*`."""
MAX_THREAD_NAMES: Final = 512
"""Names of threads with a number in them that are kept, however high the limit."""
_BINS: Final = frozenset({"state_change", "own_work"})
_DIGITS: Final = re.compile(r"\d+")


class Names:
    """Decides which names are kept; a name that was kept once is always kept.

    Attributes:
        folded: number of labels whose name, or that of a bin around them, was folded.
        example: the first of them, "identity10 counts as identity*"; "" without any.
    """

    def __init__(self, limit: int, is_gone: Callable[[int], bool]) -> None:
        """Keeps no name yet.

        Args:
            limit: number of made-up names that are kept: of elements and bins together, and of threads.
            is_gone: whether the element of a label, given by its key, no longer exists.
        """
        self._limit = limit
        self._is_gone = is_gone
        self._elements: set[str] = set()
        self._threads: set[str] = set()
        self._of_factory: Counter[str] = Counter()
        self._namesakes: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._numbers: dict[int, tuple[str, int]] = {}
        self._folded_keys: set[int] = set()
        self.folded = 0
        self.example = ""

    def label(self, path: Sequence[Step]) -> Label:
        """How an element is shown.

        Args:
            path: the bins around the element, outermost first, then the element; empty for a label that does not exist.
        """
        if not path:
            return UNLABELLED
        last = path[-1]
        if last.kind not in {"element", *_BINS}:
            return Label(FIXED_NAMES.get(last.kind, UNLABELLED.name), kind=last.kind)
        # In this order: where an element is one of many, so are the bins around it.
        leaf = self._name(last)
        is_many = leaf != last.name
        names = [self._name(step, fold=is_many) for step in path[:-1]] + [leaf]
        is_bin = path[0].kind in _BINS
        if is_bin and names[0] == path[0].name:
            names[0] += self._number(path[0])
        if any(name.endswith("*") for name in names):
            self._count(last.key)
            self.example = self.example or f"{last.name} counts as {names[-1]}"
        pipeline = names[0] if is_bin else ""
        if last.kind == "state_change":
            return Label(f"[state change of {names[-1]}]", "", "", pipeline, last.kind)
        return Label(names[-1], last.factory, "".join(f"/{name}" for name in names), pipeline)

    def thread(self, name: str) -> str:
        """How a thread is shown whose name in the kernel is `name`."""
        if name in self._threads or not _DIGITS.search(name):
            return name
        if len(self._threads) < min(self._limit, MAX_THREAD_NAMES):
            self._threads.add(name)
            return name
        return _DIGITS.sub("*", name)

    def _count(self, key: int) -> None:
        if key not in self._folded_keys:
            self._folded_keys.add(key)
            self.folded += 1

    def release(self, key: int) -> None:
        """Forgets a label whose row is about to be freed; the number of its pipeline can be used again."""
        self._folded_keys.discard(key)
        name, number = self._numbers.pop(key, ("", 0))
        known = self._namesakes.get(name)
        if known is None:
            return
        if known.get(number) == key:
            del known[number]
        if not known:
            del self._namesakes[name]

    def _name(self, step: Step, *, fold: bool = False) -> str:
        if not step.auto_named or (step.name in self._elements and not fold):
            return step.name
        stem = step.factory or step.name.rstrip("0123456789").rstrip("-")
        has_room = len(self._elements) < self._limit or self._of_factory[stem] < FIRST_OF_FACTORY
        if has_room and not fold:
            self._elements.add(step.name)
            self._of_factory[stem] += 1
            return step.name
        return f"{stem}*"

    def _number(self, pipeline: Step) -> str:
        """What is added to a pipeline's name: the least number that no live pipeline of this name has."""
        if pipeline.key not in self._numbers:
            known = self._namesakes[pipeline.name]
            number = 1
            while number in known and not self._is_gone(known[number]):
                number += 1
            if number > MAX_NAMESAKES:
                return "#*"
            known[number] = pipeline.key
            self._numbers[pipeline.key] = (pipeline.name, number)
        number = self._numbers[pipeline.key][1]
        return f"#{number}" if number > 1 else ""
