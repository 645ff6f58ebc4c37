# SPDX-License-Identifier: MIT
"""Waiting for what another thread or process does, and telling what waited from what was busy.

Context: tests.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_NS = 1e9
_T = TypeVar("_T")


def wait_for(
    condition: Callable[[], object],
    timeout_s: float = 60.0,
    what: str = "it did not happen in time",
) -> None:
    """Until `condition()` holds. What comes late on a busy machine comes; `timeout_s` is for what never does.

    Raises:
        AssertionError: it does not, within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def one_of(attempt: Callable[[], _T], holds: Callable[[_T], object], tries: int = 5) -> _T:
    """The first of several attempts for which `holds`: for what a busy machine makes worse, and never better.

    Raises:
        AssertionError: there is none.
    """
    made: list[_T] = []
    while len(made) < tries:
        made.append(attempt())
        if holds(made[-1]):
            return made[-1]
    raise AssertionError(made)


class Waited:
    """How long a block of code waited, however fast and however busy the machine.

    From the time that went by, all that threads of this process spent running or standing in line for a processor is
    taken away.

    Attributes:
        seconds: known behind the block.
    """

    seconds: float

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        self._ran_s, self._lines = time.process_time(), _in_line_s()
        return self

    def __exit__(self, *_: object) -> None:
        busy_s = time.process_time() - self._ran_s
        busy_s += sum(max(0, s - self._lines.get(tid, 0)) for tid, s in _in_line_s().items())
        self.seconds = max(0.0, time.monotonic() - self._start - busy_s)


def _in_line_s() -> dict[str, float]:
    """Seconds that each thread has stood in line, by its id; empty where the kernel does not count them."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / _NS
        except (OSError, IndexError):  # it has just ended
            continue
    return found
