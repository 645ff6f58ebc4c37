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
from gst_pyro_shim.push.push_job import Item
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
        self.queue: list[Item] = []
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

    def put(self, item: Item) -> None:
        """Takes a profile into memory; the oldest goes where there is no room."""
        evicted = 0
        with self.changed:
            is_late = self._closed
            if not is_late:
                self._bytes += item.size
                self.queue.append(item)
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

    def _take(self, item: Item) -> Item:
        self.queue.remove(item)
        self._bytes -= item.size
        return item

    def next_in_memory(self) -> Item | None:
        """The next of the queue, which it leaves."""
        with self.changed:
            item = self.peek()
            return self._take(item) if item is not None else None

    def peek(self) -> Item | None:
        """The next of the queue, which keeps it."""
        with self.changed:
            return min(self.queue, key=lambda item: item.rank, default=None)

    def next_on_disk(self, before: Item | None) -> Item | None:
        """The next of the spool, claimed; None where there is none, or `before` ranks before all."""
        for spool, entry in sorted(self._spools.entries(), key=lambda one: _rank(one[1])):
            if before is not None and before.rank <= _rank(entry):
                return None
            item = self._claimed(spool, entry)
            if item is not None:
                return item
        return None

    def next_of_own(self) -> Item | None:
        """The next of what this process itself had to put on disk, claimed."""
        while True:
            with self.changed:
                if not self.own:
                    return None
                _, (spool, entry) = self.own.popitem()
            item = self._claimed(spool, entry)
            if item is not None:
                return item

    def _claimed(self, spool: Spool, entry: Entry) -> Item | None:
        try:
            claim = spool.claim(entry)
        except ValueError as error:
            self.drop("spool_damaged", str(error))
            return None
        return Item.of_claim(claim) if claim is not None else None

    def sweep(self) -> None:
        """Clears the spool of what no server takes any more."""
        old, halves = self._spools.sweep()
        if old:
            self.drop("too_old", "left in the spool, older than 55 minutes", old)
        if halves:
            self.drop("spool_damaged", "a crash left it half written in the spool", halves)

    def keep(self, item: Item) -> bool:
        """Keeps a profile for later: on disk; else in memory; else, after `close`, not at all.

        Returns:
            Whether it is kept.
        """
        if item.claim is None:
            item.insured = True
            item.claim = self.write(item, unconfirmed=item.unconfirmed)
        if item.claim is not None:
            spool = item.claim.spool
            entry = spool.release(item.claim, unconfirmed=item.unconfirmed, errors=item.errors)
            with self.changed:
                self._counters["spooled"] += item.insured
                # Not at the end: the last flush would take it up again and again.
                if spool.wrote(entry) and not self._closed:
                    self.own[entry.key] = (spool, entry)
        elif self._closed:
            text = "the server did not take it before the end, and it could not be spooled"
            self.drop("not_delivered", text)
            return False
        else:
            self.put(item.again())
        return True

    def write(self, item: Item, *, unconfirmed: bool) -> Claim | None:
        """Writes a profile to disk and holds it there; None where the disk does not take it."""
        added = None
        if self.has_spool:
            added = self._spools.add(
                item.body(), item.start_ns, unconfirmed=unconfirmed, errors=item.errors
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

    def forget(self, item: Item) -> None:
        """Its fate is sealed: delivered, or dropped and counted."""
        if item.claim is not None:
            with self.changed:
                self.own.pop(item.claim.entry.key, None)
            item.claim.spool.remove(item.claim)

    def settle(self, item: Item, answer: Answer, url: str) -> None:
        """Books what became of an attempt to push to `url`: delivered, dropped, or kept for another."""
        if answer.fate is Fate.STORED:
            size = len(item.body())
            self.count("pushed_profiles")
            self.count("pushed_bytes", size)
            self.count("from_spool", int(item.claim is not None and not item.insured))
            self.say_debug(f"pushed a profile of {size} bytes to {url}")
            self.forget(item)
            return
        reason, text, refused = answer.reason, answer.text, answer.fate is Fate.REFUSED
        if not refused:
            self.count("failed_pushes")
        if answer.fate is Fate.UNCONFIRMED:
            self.count("unconfirmed")
            refused, item.unconfirmed = item.unconfirmed, True
        elif answer.fate is Fate.SERVER_ERROR:
            item.errors += 1
            refused = item.errors >= MAX_ERRORS
        if refused:
            self.drop(reason, text)
            self.forget(item)
            return
        level = "error" if answer.fate is Fate.PAUSE else "warning"
        self._say_waiting(reason, level, url, text)
        self.keep(item)

    def keep_unanswered(self, item: Item, url: str) -> None:
        """Keeps what no attempt to push to `url` has settled by the end, and says so unless trouble is known."""
        is_kept = self.keep(item)
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
