# SPDX-License-Identifier: MIT
"""One profile on its way to the server, and what it met there so far.

Context: agent (its loop makes them, the exporter's threads push them).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gst_pyro_shim.push.attempt import encode_push

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gst_pyro_shim.push.spool import Claim


class PushJob:
    """A profile on its way; belongs to the outbox, or to the thread that took it.

    Attributes:
        unconfirmed: it was sent once without an answer.
        hopeless: it was so twice, and is not to be sent again.
        errors: answers that left open whose fault it was.
        claim: its place in the spool, where it has one.
        insured: that place is for the case only that the last push does not succeed.
        settled: its fate is decided by the thread that pushed it.
        abandoned: its fate is decided by `Exporter.close`; that thread has no say any more.
    """

    __slots__ = (
        "_body",
        "_born_s",
        "_labels",
        "_profile",
        "abandoned",
        "claim",
        "errors",
        "hopeless",
        "insured",
        "settled",
        "size",
        "start_ns",
        "unconfirmed",
    )

    def __init__(self, start_ns: int, labels: Mapping[str, str], profile: bytes) -> None:
        self.start_ns = start_ns
        self.size = len(profile)
        self.unconfirmed = False
        self.errors = 0
        self.claim: Claim | None = None
        self.hopeless = False
        self.insured = False
        self.settled = False
        self.abandoned = False
        self._labels = labels
        self._profile = profile
        self._body = b""
        self._born_s = start_ns / 1e9

    @classmethod
    def of_claim(cls, claim: Claim) -> PushJob:
        """A profile that waited in the spool."""
        job = cls(claim.entry.start_ns, {}, b"")
        job._body = claim.body
        job.unconfirmed = claim.entry.unconfirmed
        job.errors = claim.entry.errors
        job.claim = claim
        # Another host's clock may have written its start.
        job._born_s = time.time() - claim.waited_s
        return job

    def again(self) -> PushJob:
        """The same profile for another attempt; threads that know this object have no claim to that one."""
        job = PushJob(self.start_ns, self._labels, self._profile)
        job._body = self._body
        job.size = self.size
        job.unconfirmed = self.unconfirmed
        job.errors = self.errors
        job._born_s = self._born_s
        return job

    def body(self) -> bytes:
        """As it goes on the wire; made when first asked for, since whoever hands a profile in must not wait."""
        if not self._body:
            self._body = encode_push(self._labels, self._profile)
            self._profile = b""
        return self._body

    @property
    def rank(self) -> tuple[int, int]:
        """Order of delivery: what met the fewest troubles, then the oldest; a poisoned profile holds up nobody."""
        return (self.errors + self.unconfirmed, self.start_ns)

    @property
    def age_s(self) -> float:
        """How long ago its window began; of one from the spool, how long it has been there."""
        return time.time() - self._born_s
