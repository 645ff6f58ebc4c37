# SPDX-License-Identifier: MIT
"""Where profiles wait for delivery: a bounded queue in memory, the spool behind it, and the counters of both.

Every profile comes to one end (job_state.py): delivered, kept in the spool, or discarded. Here the ends are counted.

Context: agent. `put` is for the agent's loop and never touches the disk; the rest is for the exporter's threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.answer import Fate
from gst_pyro_shim.push.attempt import Attempt
from gst_pyro_shim.push.job_state import Event, State
from gst_pyro_shim.push.notices import Notices
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.spools import Spools

if TYPE_CHECKING:
    from gst_pyro_shim.push.answer import Answer
    from gst_pyro_shim.push.notices import Log
    from gst_pyro_shim.push.spool import Claim, Spool
    from gst_pyro_shim.push.spool_entry import Entry

QUEUE_BYTES: Final = 16 * 1024 * 1024


class Outbox:
    """Queue, spool, and counters.

    Attributes:
        changed: the exporter's lock. It guards the queue, the jobs and the counters, and is notified at every change
            that a thread may wait for. No message is logged and no disk is touched under it.
        queue: profiles in memory, QUEUED.
        held: profiles that a thread holds: PUSHING, SPOOLING, or at their end while their file is removed.
        own: what this exporter put into the spool and has not seen delivered, by key.
        is_closed: nothing is taken in any more, and what no disk takes is discarded.
        notices: the log.
    """

    def __init__(self, log: Log, spool_dir: str | None, identity: str) -> None:
        self.changed = threading.Condition()
        self.queue: list[PushJob] = []
        self.held: set[PushJob] = set()
        self.own: dict[str, tuple[Spool, Entry]] = {}
        self.is_closed = False
        self.notices = Notices(log)
        self._bytes = 0
        self._counters: Counter[str] = Counter(pushed_profiles=0, pushed_bytes=0, spooled=0)
        self._spools = Spools(spool_dir, identity)

    @property
    def counters(self) -> dict[str, int]:
        """A copy of all counts."""
        with self.changed:
            return dict(self._counters)

    @property
    def place(self) -> str:
        """Where profiles wait, for messages. May block on the disk."""
        return self._spools.path or "memory"

    @property
    def has_spool(self) -> bool:
        """Whether there is a disk that did not fail lately."""
        return self._spools.can_take

    def put(self, job: PushJob) -> None:
        """Takes a new profile into memory; where there is no room the oldest is dropped."""
        with self.changed:
            is_late = self.is_closed
            evicted = 0 if is_late else self._enqueue(job)
        if is_late:
            self.discard(job, "closed", "handed in after the end")
        self._say_evicted(evicted)

    def close(self) -> None:
        """Takes nothing in any more."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def _enqueue(self, job: PushJob) -> int:
        """Lock held. Returns how many profiles had to go for this one."""
        self.queue.append(job)
        self._bytes += job.size
        evicted = 0
        while self._bytes > QUEUE_BYTES and len(self.queue) > 1:
            oldest = min(self.queue, key=lambda waiting: waiting.start_ns)
            self._dequeue(oldest)
            self._end(oldest, Event.DROP, "dropped_queue_full")
            evicted += 1
        self.changed.notify_all()
        return evicted

    def _dequeue(self, job: PushJob) -> None:
        self.queue.remove(job)
        self._bytes -= job.size

    def _say_evicted(self, evicted: int) -> None:
        if evicted:
            text = "profiles come faster than the server takes them"
            self.notices.dropped("queue_full", text)

    def _end(self, job: PushJob, event: Event, counter: str) -> None:
        """Lock held. Brings a job to its end, and counts it."""
        job.state.advance(event)
        self._counters[counter] += 1

    def peek(self) -> PushJob | None:
        """The next of the queue, which stays in it."""
        with self.changed:
            return min(self.queue, key=lambda job: job.rank, default=None)

    def take(self, event: Event) -> PushJob | None:
        """Takes the next profile out of the queue: by TAKE to push it, by SET_ASIDE for the disk."""
        with self.changed:
            job = self.peek()
            if job is not None:
                self._dequeue(job)
                job.state.advance(event)
                job.attempt = Attempt()
                self.held.add(job)
            return job

    def take_from_disk(self, before: PushJob | None) -> PushJob | None:
        """Claims the next profile of the spool; None where there is none, or `before` ranks before all."""
        for spool, entry in sorted(self._spools.entries(), key=lambda one: one[1].rank):
            if before is not None and before.rank <= entry.rank:
                return None
            job = self._claimed(spool, entry)
            if job is not None:
                return job
        return None

    def take_own(self) -> PushJob | None:
        """Claims the next of what this exporter itself had to put on disk."""
        while True:
            with self.changed:
                if not self.own:
                    return None
                _, (spool, entry) = self.own.popitem()
            job = self._claimed(spool, entry)
            if job is not None:
                return job

    def _claimed(self, spool: Spool, entry: Entry) -> PushJob | None:
        try:
            claim = spool.claim(entry)
        except ValueError as error:
            self._drop_files("spool_damaged", 1, str(error))
            return None
        if claim is None:
            return None
        job = PushJob.of_claim(claim)
        with self.changed:
            self.held.add(job)
        return job

    def sweep(self) -> None:
        """Removes from the spool what no server takes any more."""
        old, halves = self._spools.sweep()
        self._drop_files("too_old", old, "left in the spool, older than 55 minutes")
        self._drop_files("spool_damaged", halves, "a crash left it half written in the spool")

    def _drop_files(self, reason: str, number: int, text: str) -> None:
        """Counts files of the spool that were removed and of which there is no job."""
        if number:
            with self.changed:
                self._counters[f"dropped_{reason}"] += number
            self.notices.dropped(reason, text)

    def book(self, job: PushJob, answer: Answer) -> Event:
        """Lock held. Moves a job that is PUSHING on by the answer to its push, and counts.

        Returns:
            What happened to the job: STORED, DROP or SET_ASIDE.
        """
        if answer.fate not in {Fate.STORED, Fate.REFUSED}:
            self._counters["failed_pushes"] += 1
        if answer.fate is Fate.UNCONFIRMED:
            self._counters["unconfirmed"] += 1
        event = job.learn(answer)
        if event is Event.STORED:
            self._end(job, event, "pushed_profiles")
            self._counters["pushed_bytes"] += len(job.body())
            self._counters["from_spool"] += job.from_spool
        elif event is Event.DROP:
            self._end(job, event, f"dropped_{answer.reason}")
        else:
            job.state.advance(event)
        return event

    def book_given_up(self, job: PushJob) -> Event:
        """Lock held. Ends the push of a job that is PUSHING, and moves it on: DROP or SET_ASIDE."""
        event = job.give_up()
        if event is Event.DROP:
            self._end(job, event, "dropped_unconfirmed")
        else:
            job.state.advance(event)
        return event

    def spool(self, job: PushJob) -> bool:
        """Puts a job that is SPOOLING on disk, where it becomes SPOOLED; False where no disk takes it."""
        if job.claim is None:
            job.claim = self.write(job, unconfirmed=job.unconfirmed)
        if job.claim is None:
            return False
        spool = job.claim.spool
        entry = spool.release(job.claim, unconfirmed=job.unconfirmed, errors=job.errors)
        with self.changed:
            # It is DISCARDED where the last flush had no time left for this disk.
            if job.state.now is State.SPOOLING:
                job.state.advance(Event.KEPT)
                self._counters["spooled"] += not job.from_spool
            # Not at the end: the last flush would take it up again and again.
            if spool.wrote(entry) and not self.is_closed:
                self.own[entry.key] = (spool, entry)
        return True

    def requeue(self, job: PushJob) -> None:
        """Has a job that no disk takes wait in memory; after `close` it is discarded."""
        evicted = 0
        with self.changed:
            is_late = self.is_closed
            if not is_late:
                # The last thing that this thread does with the job: the next one may take it.
                self.held.discard(job)
                job.state.advance(Event.REQUEUE)
                evicted = self._enqueue(job)
        if is_late:
            text = "the server did not take it before the end, and it could not be spooled"
            self.discard(job, "not_delivered", text)
            self.let_go(job)
        self._say_evicted(evicted)

    def write(self, job: PushJob, *, unconfirmed: bool) -> Claim | None:
        """Writes a profile to disk and claims the file; None where no disk takes it."""
        added = None
        if self.has_spool:
            added = self._spools.add(
                job.body(), job.start_ns, unconfirmed=unconfirmed, errors=job.errors
            )
        failure = self._spools.failure
        if added is None:
            if failure is not None:
                text = f"no spool, profiles wait in memory only: {failure}"
                self.notices.once("spool", "warning", text)
            return None
        claim, evicted = added
        path = claim.spool.path
        if failure is not None:
            text = f"the spool takes no profile: {failure}; they wait in {path}"
            self.notices.once("spool", "warning", text)
        self._drop_files("spool_full", evicted, f"{path} is full; the oldest go first")
        return claim

    def discard(self, job: PushJob, reason: str, text: str) -> bool:
        """Gives a job up, and says so. False where it has come to its end already, and stays as it is."""
        with self.changed:
            if job.state.now.is_end:
                return False
            self._end(job, Event.DROP, f"dropped_{reason}")
        self.notices.dropped(reason, text)
        return True

    def remove_file(self, job: PushJob) -> bool:
        """Removes the file in the spool of a job that is DELIVERED or DISCARDED, where it has one.

        Returns:
            True: nothing is left to do.
        """
        if job.claim is not None:
            with self.changed:
                self.own.pop(job.claim.entry.key, None)
            job.claim.spool.remove(job.claim)
        return True

    def let_go(self, job: PushJob) -> None:
        """No thread holds the job any more."""
        with self.changed:
            self.held.discard(job)
            self.changed.notify_all()
