# SPDX-License-Identifier: MIT
"""One profile on its way to the server, and what is known of it.

Context: agent (its loop makes jobs, the exporter's threads push them).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.answer import Fate
from gst_pyro_shim.push.attempt import Attempt, encode_push
from gst_pyro_shim.push.job_state import Event, JobState, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.push.answer import Answer
    from gst_pyro_shim.push.spool import Claim

MAX_ERRORS: Final = 10
"""Answers of the kind "500" after which a profile counts as their cause.

With the pauses between them they take two and a half minutes: a server that merely restarts is quicker.
"""


class PushJob:
    """A profile on its way. Its attributes change under the exporter's lock, or by the thread that holds it SPOOLING.

    Attributes:
        start_ns: wall clock at the start of the profile's window.
        size: bytes of the profile, plain.
        state: see job_state.py.
        attempt: the push that is under way, in the state PUSHING; a new one for each push.
        unconfirmed: it was sent once without an answer, so the server may have stored it.
        errors: answers that left open whose fault it was.
        claim: its file in the spool, where it has one.
        from_spool: an earlier exporter, or this one some time ago, put it into the spool.
    """

    __slots__ = (
        "_body",
        "_born_s",
        "_labels",
        "_profile",
        "attempt",
        "claim",
        "errors",
        "from_spool",
        "size",
        "start_ns",
        "state",
        "unconfirmed",
    )

    def __init__(self, start_ns: int, labels: Mapping[str, str], profile: bytes) -> None:
        self.start_ns = start_ns
        self.size = len(profile)
        self.state = JobState(State.QUEUED)
        self.attempt = Attempt()
        self.unconfirmed = False
        self.errors = 0
        self.claim: Claim | None = None
        self.from_spool = False
        self._labels = labels
        self._profile = profile
        self._body = b""
        self._born_s = start_ns / 1e9

    @classmethod
    def of_claim(cls, claim: Claim) -> PushJob:
        """A profile that waited in the spool; its first state is PUSHING."""
        job = cls(claim.entry.start_ns, {}, b"")
        job.state = JobState(State.PUSHING)
        job._body = claim.body
        job.unconfirmed = claim.entry.unconfirmed
        job.errors = claim.entry.errors
        job.claim = claim
        job.from_spool = True
        # Another host's clock may have written its start.
        job._born_s = time.time() - claim.waited_s
        return job

    def body(self) -> bytes:
        """The body of a push. The first call encodes it, not `submit`, which must not take long."""
        # Read first: another thread may be in here, and it sets the body before it clears the profile.
        profile = self._profile
        if not self._body:
            self._body = encode_push(self._labels, profile)
            self._profile = b""
        return self._body

    @property
    def rank(self) -> tuple[int, int]:
        """Order of delivery: the fewest troubles first, then the oldest. So a poisoned profile delays no other."""
        return (self.errors + self.unconfirmed, self.start_ns)

    @property
    def age_s(self) -> float:
        """Seconds since its window began; for a profile from the spool, since it was put there."""
        return time.time() - self._born_s

    def learn(self, answer: Answer) -> Event:
        """Notes what an answer says about the profile.

        Returns:
            The event that follows: STORED, DROP, or SET_ASIDE for another attempt.
        """
        is_last = answer.fate is Fate.REFUSED
        if answer.fate is Fate.UNCONFIRMED:
            is_last, self.unconfirmed = self.unconfirmed, True
        elif answer.fate is Fate.SERVER_ERROR:
            self.errors += 1
            is_last = self.errors >= MAX_ERRORS
        if answer.fate is Fate.STORED:
            return Event.STORED
        return Event.DROP if is_last else Event.SET_ASIDE

    def give_up(self) -> Event:
        """Ends the attempt that is under way: no time is left for its answer.

        Returns:
            The event that follows: DROP where the profile was sent for the second time, else SET_ASIDE.
        """
        self.attempt.abort()
        if not self.attempt.is_sent:
            return Event.SET_ASIDE
        was_unconfirmed, self.unconfirmed = self.unconfirmed, True
        return Event.DROP if was_unconfirmed else Event.SET_ASIDE
