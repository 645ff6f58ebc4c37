# SPDX-License-Identifier: MIT
"""The states of a profile on its way to the server, and the events that change them.

              submit                              a claimed file of the spool
                │                                              │
                v                   TAKE                       v
    ┌──────> QUEUED ───────────────────────────────────────> PUSHING ── STORED ──> DELIVERED
    │          │  │                                            │  │
    │          │  └─ DROP ──> DISCARDED <── DROP ──────────────┘  │
    │          │                  ^                               │
    │      SET_ASIDE             DROP                         SET_ASIDE
    │          │                  │                               │
    │          └────────────> SPOOLING <──────────────────────────┘
    │                           │  │
    └───────── REQUEUE ─────────┘  └── KEPT ──> SPOOLED

DELIVERED, SPOOLED and DISCARDED are ends: no event leads out of them. The outbox counts a profile in the moment of its
end, under the lock under which the state changes. So each profile is counted once.

Which thread changes the state, always under the exporter's lock and after a look at the state:

- QUEUED: the thread that takes the profile out of the queue.
- PUSHING: the thread that pushes it, when the push is over; or the last flush, when its time is over. The second of the
  two finds another state, and leaves the profile alone.
- SPOOLING: the thread that writes it to disk; or the last flush, when the disk does not answer before the deadline.

Other things that are known of a profile are facts beside its state: an attempt without an answer, the errors so far,
its file in the spool (push_job.py). The spool keeps the first two in the file's name.

Context: agent. Pure.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """Where a profile is."""

    QUEUED = "in memory, held by no thread"
    PUSHING = "held by a thread that pushes it"
    SPOOLING = "held by a thread that puts it on disk"
    DELIVERED = "stored by the server"
    SPOOLED = "on disk, for a later attempt or a later run"
    DISCARDED = "given up, and counted by reason"

    @property
    def is_end(self) -> bool:
        """Whether nothing happens to the profile any more."""
        return self in _ENDS


class Event(enum.Enum):
    """What happens to a profile."""

    TAKE = "a thread takes it out of the queue, to push it"
    STORED = "the server has stored it"
    SET_ASIDE = "it is not pushed for now: the server is away, or the end has come"
    KEPT = "the disk has taken it"
    REQUEUE = "no disk takes it, so it waits in memory"
    DROP = "it is given up"


_ENDS: Final = frozenset({State.DELIVERED, State.SPOOLED, State.DISCARDED})

_NEXT: Final[dict[tuple[State, Event], State]] = {
    (State.QUEUED, Event.TAKE): State.PUSHING,
    (State.QUEUED, Event.SET_ASIDE): State.SPOOLING,
    (State.QUEUED, Event.DROP): State.DISCARDED,
    (State.PUSHING, Event.STORED): State.DELIVERED,
    (State.PUSHING, Event.SET_ASIDE): State.SPOOLING,
    (State.PUSHING, Event.DROP): State.DISCARDED,
    (State.SPOOLING, Event.KEPT): State.SPOOLED,
    (State.SPOOLING, Event.REQUEUE): State.QUEUED,
    (State.SPOOLING, Event.DROP): State.DISCARDED,
}


class ForbiddenEventError(Exception):
    """A fault of ours: the event cannot happen to a profile in this state."""


class JobState:
    """The state of one profile; `advance` alone changes it."""

    __slots__ = ("_now",)

    def __init__(self, start: State) -> None:
        self._now = start

    @property
    def now(self) -> State:
        """The state."""
        return self._now

    def advance(self, event: Event) -> State:
        """The next state.

        Raises:
            ForbiddenEventError: the table has none; the state stays as it is.
        """
        following = _NEXT.get((self._now, event))
        if following is None:
            raise ForbiddenEventError(f"{event.name} of a profile that is {self._now.name}")
        self._now = following
        return following
