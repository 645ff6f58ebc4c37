# SPDX-License-Identifier: MIT
"""Where profiles wait for delivery: a bounded queue in memory, the spool behind it, and the books about both.

Every profile that comes in leaves in exactly one way: forgotten after a push that succeeded, kept in the spool, or
dropped, which is counted by reason and said once.

Context: agent. `put` is for the agent's loop and never touches the disk; the rest is for the exporter's threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.push.answer import Fate
from gst_pyro_shim.push.push_job import PushJob
from gst_pyro_shim.push.spools import Spools

if TYPE_CHECKING:
    from collections.abc import Callable

    from gst_pyro_shim.push.answer import Answer
    from gst_pyro_shim.push.spool import Claim, Spool
    from gst_pyro_shim.push.spool_entry import Entry

    Log = Callable[[str, str], None]
    """Takes a level (error, warning, info, debug) and a line."""

QUEUE_BYTES: Final = 16 * 1024 * 1024
MAX_ERRORS: Final = 10
"""Answers of the kind "500" that one profile meets before it counts as its own fault.

With the pauses between them that takes two and a half minutes: a server that merely starts again is quicker.
"""
_WAITING: Final = "waiting"
"""Among what was said: that profiles wait, for whatever reason."""


def _rank(entry: Entry) -> tuple[int, int]:
    return (entry.errors + entry.unconfirmed, entry.start_ns)


class Outbox:
    """Queue, spool, counters, and what has been said. Nothing is said under the lock: whoever reads stderr may be slow.

    Attributes:
        changed: guards the queue and the counters; notified at every change that a thread may wait for.
        queue: profiles in memory.
        own: what this process put into the spool and has not seen delivered, by key.
    """

    def __init__(self, log: Log, spool_dir: str | None, identity: str) -> None:
        self.changed = threading.Condition()
        self.queue: list[PushJob] = []
        self.own: dict[str, tuple[Spool, Entry]] = {}
        self._log = log
        self._bytes = 0
        self._closed = False
        self._counters: Counter[str] = Counter(pushed_profiles=0, pushed_bytes=0, spooled=0)
        self._said: set[str] = set()
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
        """Whether there is a disk to put things on that did not fail lately."""
        return self._spools.can_take

    def put(self, job: PushJob) -> None:
        """Takes a profile into memory; the oldest goes where there is no room."""
        evicted = 0
        with self.changed:
            is_late = self._closed
            if not is_late:
                self._bytes += job.size
                self.queue.append(job)
            while self._bytes > QUEUE_BYTES and len(self.queue) > 1:
                self._take(min(self.queue, key=lambda waiting: waiting.start_ns))
                evicted += 1
            self.changed.notify_all()
        if is_late:
            self.drop("closed", "handed in after the end")
        if evicted:
            self.drop("queue_full", "profiles come faster than the server takes them", evicted)

    def close(self) -> None:
        """Takes nothing in any more; what cannot be kept on disk is dropped from now on."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def _take(self, job: PushJob) -> PushJob:
        self.queue.remove(job)
        self._bytes -= job.size
        return job

    def next_in_memory(self) -> PushJob | None:
        """The next of the queue, which it leaves."""
        with self.changed:
            job = self.peek()
            return self._take(job) if job is not None else None

    def peek(self) -> PushJob | None:
        """The next of the queue, which keeps it."""
        with self.changed:
            return min(self.queue, key=lambda job: job.rank, default=None)

    def next_on_disk(self, before: PushJob | None) -> PushJob | None:
        """The next of the spool, claimed; None where there is none, or `before` ranks before all."""
        for spool, entry in sorted(self._spools.entries(), key=lambda one: _rank(one[1])):
            if before is not None and before.rank <= _rank(entry):
                return None
            job = self._claimed(spool, entry)
            if job is not None:
                return job
        return None

    def next_of_own(self) -> PushJob | None:
        """The next of what this process itself had to put on disk, claimed."""
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
            self.drop("spool_damaged", str(error))
            return None
        return PushJob.of_claim(claim) if claim is not None else None

    def sweep(self) -> None:
        """Clears the spool of what no server takes any more."""
        old, halves = self._spools.sweep()
        if old:
            self.drop("too_old", "left in the spool, older than 55 minutes", old)
        if halves:
            self.drop("spool_damaged", "a crash left it half written in the spool", halves)

    def keep(self, job: PushJob) -> bool:
        """Keeps a profile for later: on disk; else in memory; else, after `close`, not at all.

        Returns:
            Whether it is kept.
        """
        if job.claim is None:
            job.insured = True
            job.claim = self.write(job, unconfirmed=job.unconfirmed)
        if job.claim is not None:
            spool = job.claim.spool
            entry = spool.release(job.claim, unconfirmed=job.unconfirmed, errors=job.errors)
            with self.changed:
                self._counters["spooled"] += job.insured
                # Not at the end: the last flush would take it up again and again.
                if spool.wrote(entry) and not self._closed:
                    self.own[entry.key] = (spool, entry)
        elif self._closed:
            text = "the server did not take it before the end, and it could not be spooled"
            self.drop("not_delivered", text)
            return False
        else:
            self.put(job.again())
        return True

    def write(self, job: PushJob, *, unconfirmed: bool) -> Claim | None:
        """Writes a profile to disk and holds it there; None where the disk does not take it."""
        added = None
        if self.has_spool:
            added = self._spools.add(
                job.body(), job.start_ns, unconfirmed=unconfirmed, errors=job.errors
            )
        failure = self._spools.failure
        if added is None:
            if failure is not None:
                self.say("spool", "warning", f"no spool, profiles wait in memory only: {failure}")
            return None
        claim, evicted = added
        if failure is not None:
            text = f"the spool takes no profile: {failure}; they wait in {claim.spool.path}"
            self.say("spool", "warning", text)
        if evicted:
            self.drop("spool_full", f"{claim.spool.path} is full; the oldest go first", evicted)
        return claim

    def forget(self, job: PushJob) -> None:
        """Its fate is sealed: delivered, or dropped and counted."""
        if job.claim is not None:
            with self.changed:
                self.own.pop(job.claim.entry.key, None)
            job.claim.spool.remove(job.claim)

    def settle(self, job: PushJob, answer: Answer, url: str) -> None:
        """Books what became of an attempt to push to `url`: delivered, dropped, or kept for another."""
        if answer.fate is Fate.STORED:
            size = len(job.body())
            self.count("pushed_profiles")
            self.count("pushed_bytes", size)
            self.count("from_spool", int(job.claim is not None and not job.insured))
            self.say_debug(f"pushed a profile of {size} bytes to {url}")
            self.forget(job)
            return
        reason, text, refused = answer.reason, answer.text, answer.fate is Fate.REFUSED
        if not refused:
            self.count("failed_pushes")
        if answer.fate is Fate.UNCONFIRMED:
            self.count("unconfirmed")
            refused, job.unconfirmed = job.unconfirmed, True
        elif answer.fate is Fate.SERVER_ERROR:
            job.errors += 1
            refused = job.errors >= MAX_ERRORS
        if refused:
            self.drop(reason, text)
            self.forget(job)
            return
        level = "error" if answer.fate is Fate.PAUSE else "warning"
        self._say_waiting(reason, level, url, text)
        self.keep(job)

    def keep_unanswered(self, job: PushJob, url: str) -> None:
        """Keeps what no attempt to push to `url` has settled by the end, and says so unless trouble is known."""
        is_kept = self.keep(job)
        with self.changed:
            is_news = is_kept and _WAITING not in self._said
        if is_news:
            self._say_waiting("unconfirmed", "warning", url, "no answer before the end")

    def _say_waiting(self, reason: str, level: str, url: str, text: str) -> None:
        self.say(reason, level, f"cannot push to {url}: {text}; profiles wait in {self.place}")
        with self.changed:
            self._said.add(_WAITING)

    def count(self, counter: str, number: int = 1) -> None:
        """Adds to a counter."""
        with self.changed:
            self._counters[counter] += number

    def drop(self, reason: str, text: str, number: int = 1) -> None:
        """Counts profiles that are given up, and says so once for each reason."""
        self.count(f"dropped_{reason}", number)
        self.say(f"dropped_{reason}", "warning", f"profile dropped ({reason}): {text}")

    def say(self, what: str, level: str, text: str) -> None:
        """Logs the first of its kind, until the server has been well again."""
        with self.changed:
            if what in self._said:
                return
            self._said.add(what)
        self._log(level, text)

    def say_well(self, text: str) -> None:
        """Logs that the trouble is over; it may be spoken of again."""
        with self.changed:
            self._said.clear()
        self._log("info", text)

    def say_debug(self, text: str) -> None:
        """Logs one of many."""
        self._log("debug", text)
