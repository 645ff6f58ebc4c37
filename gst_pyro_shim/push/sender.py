# SPDX-License-Identifier: MIT
"""Pushes jobs of the outbox, one attempt each, and does what the answer asks for.

Context: agent (the exporter's threads). All calls may block on the network or the disk.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.answer import Answer, Fate
from gst_pyro_shim.push.attempt import Pusher
from gst_pyro_shim.push.backoff import Backoff
from gst_pyro_shim.push.job_state import Event, State
from gst_pyro_shim.push.spool_entry import MAX_AGE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from gst_pyro_shim.push.endpoint import Endpoint
    from gst_pyro_shim.push.outbox import Outbox
    from gst_pyro_shim.push.push_job import PushJob

_NOBODY_THERE: Final = frozenset({Fate.RETRY, Fate.PAUSE})


class Sender:
    """What the worker and the last flush share.

    Attributes:
        pusher: of the server.
        backoff: when the server may be asked again. Under the exporter's lock.
        pushing: number of threads inside a push. Under the exporter's lock.
        has_given_up: the last flush pushes no more. Under the exporter's lock.
        max_age_s: the server refuses profiles that are older.
    """

    def __init__(self, endpoint: Endpoint, outbox: Outbox) -> None:
        self.pusher = Pusher(endpoint)
        self.backoff = Backoff()
        self.pushing = 0
        self.has_given_up = False
        self.max_age_s = MAX_AGE_S
        self._outbox = outbox
        self._changed = outbox.changed

    def start_thread(self, body: Callable[[], None], name: str) -> bool:
        """Runs `body` on a new thread; False where none can be started, which is logged."""

        def guarded() -> None:
            try:
                body()
            except Exception as error:  # noqa: BLE001  no traceback on the host's terminal
                text = f"delivery failed: {error!r}"
                self._outbox.notices.once("internal", "error", text)

        try:
            threading.Thread(target=guarded, name=name, daemon=True).start()
        except RuntimeError:
            text = "no thread can be started for pushing"
            self._outbox.notices.once("thread", "warning", text)
            return False
        return True

    def deliver(self, job: PushJob, timeout_s: float) -> None:
        """Pushes a job that is PUSHING, and acts on the answer."""
        answer = self._push(job, timeout_s)
        with self._changed:
            if job.state.now is not State.PUSHING:
                return  # the last flush has given up on this push, and has the job now
            came_back = self._learn(answer)
            event = self._outbox.book(job, answer)

        def settle(job: PushJob) -> bool:
            if came_back:
                self._outbox.notices.server_is_back(self.pusher.endpoint.url)
            return self._settle(job, event, answer)

        self.carry_out(job, settle)

    def _settle(self, job: PushJob, event: Event, answer: Answer) -> bool:
        """What is left to do after the state has changed: messages, and the job's file; as a step of `carry_out`."""
        url, notices = self.pusher.endpoint.url, self._outbox.notices
        if event is Event.SET_ASIDE:
            level = "error" if answer.fate is Fate.PAUSE else "warning"
            notices.waiting(answer.reason, level, url, answer.text, self._outbox.place)
            return self._outbox.spool(job)
        if event is Event.STORED:
            notices.pushed(url, len(job.body()))
        else:
            notices.dropped(answer.reason, answer.text)
        return self._outbox.remove_file(job)

    def set_aside(self, job: PushJob) -> None:
        """Puts a job that is PUSHING on disk, without a push."""
        with self._changed:
            if job.state.now is not State.PUSHING:
                return  # as in `deliver`
            job.state.advance(Event.SET_ASIDE)
        self.carry_out(job, self._outbox.spool)

    def carry_out(self, job: PushJob, step: Callable[[PushJob], bool]) -> None:
        """Does the last step with a job that this thread holds. No thread holds it afterwards.

        Args:
            job: SPOOLING, or at its end.
            step: returns False where the disk does not take the job. It waits in memory then, if it may.
        """
        try:
            is_done = step(job)
        except Exception as error:  # noqa: BLE001  a fault of ours may cost the profile, but not without a count
            text = f"{type(error).__name__}: {error}"
            if not self._outbox.discard(job, "internal", text):
                self._outbox.notices.once("internal", "error", f"delivery failed: {text}")
            is_done = True
        if is_done:
            self._outbox.let_go(job)
        else:
            self._outbox.requeue(job)

    def _push(self, job: PushJob, timeout_s: float) -> Answer:
        if job.age_s > self.max_age_s:
            text = f"older than {self.max_age_s / 60:.0f} minutes"
            return Answer(Fate.REFUSED, "too_old", text)
        with self._changed:
            self.pushing += 1
        try:
            return self.pusher.push(job.body(), timeout_s, job.attempt)
        except Exception as error:  # noqa: BLE001  the worker must outlive whatever this is
            return Answer(Fate.SERVER_ERROR, "internal", f"{type(error).__name__}: {error}")
        finally:
            with self._changed:
                self.pushing -= 1
                self._changed.notify_all()

    def _learn(self, answer: Answer) -> bool:
        """Lock held. Notes what an answer says about the server; returns whether it has just come back."""
        if answer.reason == "too_old":
            return False  # the server was not asked
        if self._outbox.is_closed and answer.fate in _NOBODY_THERE:
            self.has_given_up = True  # the other threads need not find out for themselves
        return self.backoff.note(answer)
