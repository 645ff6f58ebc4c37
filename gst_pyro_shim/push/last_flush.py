# SPDX-License-Identifier: MIT
"""The end of an exporter: pushes what is left, all at once, and puts on disk what the server does not take in time.

    0 %                  40 %                             50 ms left         deadline
    ├─ flush threads push ┼──────────────────────────────────┤
    │                     ├─ insure thread: a copy on disk ──┤
    │                     │  of each profile being pushed    ├─ spool thread: profiles without
    │                     │                                  │  an answer, the newest first

Two threads may want to decide about a profile that is PUSHING: the one that pushes it and, at the end of the time, the
one that closes the exporter. The first to change the state under the lock decides (job_state.py).

Context: agent: the thread that closes the exporter, and threads of the exporter's own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.job_state import Event, State

if TYPE_CHECKING:
    from gst_pyro_shim.push.outbox import Outbox
    from gst_pyro_shim.push.push_job import PushJob
    from gst_pyro_shim.push.sender import Sender

FLUSH_CONNECTIONS: Final = 32
INSURE_AFTER: Final = 0.4
"""Share of the time after which what is under way is put on disk as well."""
_SPOOL_S: Final = 0.05
"""Kept back for the disk, or a quarter of the time where that is less."""


class LastFlush:
    """One end of one exporter."""

    def __init__(self, sender: Sender, outbox: Outbox) -> None:
        self._sender = sender
        self._outbox = outbox
        self._changed = outbox.changed

    def run(self, deadline_s: float) -> None:
        """Returns after at most `deadline_s` seconds, however dead server or disk are. The outbox is closed already."""
        end = time.monotonic() + deadline_s
        with self._changed:
            # To wait for a server that is known to be silent would cost the host the whole deadline for nothing.
            is_hopeless = self._sender.backoff.is_silent and self._outbox.has_spool
        if not is_hopeless:
            push_until = end - min(_SPOOL_S, deadline_s / 4)
            self._push_all(push_until, deadline_s * INSURE_AFTER)
        with self._changed:
            left, dropped = self._give_up()
        if dropped:
            text = "sent twice, and the end came before an answer"
            self._outbox.notices.dropped("unconfirmed", text)
        if left and not self._sender.start_thread(lambda: self._spool_all(left), "gst-pyro-spool"):
            self._spool_all(left)
        with self._changed:
            # For pushes too: exit handlers may run next, OpenSSL's among them.
            self._changed.wait_for(
                lambda: not (self._outbox.held or self._sender.pushing),
                max(0.0, end - time.monotonic()),
            )
            left.clear()
            lost = list(self._outbox.held)  # the disk does not answer
        for job in lost:
            text = "the disk did not take it before the end"
            self._outbox.discard(job, "not_delivered", text)

    def _push_all(self, until: float, insure_after_s: float) -> None:
        """Pushes until all is delivered, the server is found to be away, or it is `until` (monotonic)."""
        with self._changed:
            wanted = len(self._outbox.queue) + len(self._outbox.own)
        for _ in range(min(FLUSH_CONNECTIONS, wanted)):
            if not self._sender.start_thread(lambda: self._flush(until), "gst-pyro-flush"):
                break
        # A healthy server may answer at the very last moment: what is under way gets a file in the spool meanwhile,
        # which is removed when the answer comes.
        with self._changed:
            is_flushed = self._changed.wait_for(self._is_flushed, insure_after_s)
        if is_flushed:
            return
        self._sender.start_thread(self._insure, "gst-pyro-insure")
        with self._changed:
            self._changed.wait_for(self._is_flushed, until - time.monotonic())

    def _is_flushed(self) -> bool:
        """Lock held. What is under way is waited for even where nothing new is begun."""
        rest = not self._sender.has_given_up and (self._outbox.queue or self._outbox.own)
        return not (rest or self._outbox.held)

    def _flush(self, until: float) -> None:
        """One of the threads that push."""
        while not self._is_over(until):
            job = self._outbox.take(Event.TAKE) or self._outbox.take_own()
            if job is None:
                return
            # Asked again: the claim may have waited for the disk. From here on `_give_up` finds the job.
            if self._is_over(until):
                self._sender.set_aside(job)
                return
            # `_give_up` ends the push at `until`. A timeout at that moment would pass for the server's silence.
            self._sender.deliver(job, until + _SPOOL_S - time.monotonic())

    def _is_over(self, until: float) -> bool:
        with self._changed:
            return self._sender.has_given_up or time.monotonic() >= until

    def _insure(self) -> None:
        """Writes what is under way to disk as well."""
        with self._changed:
            held = [job for job in self._outbox.held if job.claim is None]
            jobs = [job for job in held if job.state.now is State.PUSHING]
        for job in jobs:
            claim = self._outbox.write(job, unconfirmed=True)
            if claim is None:
                return
            with self._changed:
                is_wanted = job.state.now is State.PUSHING
                if is_wanted:
                    job.claim = claim
            if not is_wanted:
                claim.spool.remove(claim)

    def _give_up(self) -> tuple[list[PushJob], int]:
        """Lock held. Ends the pushes: what has no answer by now is this flush's.

        Returns:
            Jobs for the disk, oldest first, and how many of them are DISCARDED: these have at most a file to remove.
        """
        self._sender.has_given_up = True
        left = [job for job in self._outbox.held if job.state.now is State.PUSHING]
        dropped = sum(self._outbox.book_given_up(job) is Event.DROP for job in left)
        while (waiting := self._outbox.take(Event.SET_ASIDE)) is not None:
            left.append(waiting)
        return sorted(left, key=lambda job: job.start_ns), dropped

    def _spool_all(self, left: list[PushJob]) -> None:
        """The newest first: where the disk is too slow, the oldest are lost."""
        while True:
            with self._changed:
                if not left:
                    return
                job = left.pop()
            self._sender.carry_out(job, self._spool)

    def _spool(self, job: PushJob) -> bool:
        """As `Outbox.spool`. Says where profiles wait, unless that is known."""
        if job.state.now.is_end:
            return self._outbox.remove_file(job)
        is_kept = self._outbox.spool(job)
        if is_kept and not self._outbox.notices.has_said_waiting:
            url, text = self._sender.pusher.endpoint.url, "no answer before the end"
            self._outbox.notices.waiting("unconfirmed", "warning", url, text, self._outbox.place)
        return is_kept
