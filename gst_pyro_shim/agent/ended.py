# SPDX-License-Identifier: MIT
"""What has ended in a window: threads, accounts, labels. It is taken at each drain, and given back to the shim.

Its CPU time is added up under what the profile will say of it, so that a window needs room for what lives and for
distinct names. An account's last samples may still be in the ring when it is taken: they join it once all records have
come that were written before.

Context: agent.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from gst_pyro_shim.segment.rows import Label, Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.agent.labels import Labels
    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Account
    from gst_pyro_shim.segment.segment import Segment

_TOLD_APART: Final = 1024
"""Threads that ended in one window and are told apart; more are added up by name."""
_TOLD_APART_EVER: Final = 2048
"""The same in the life of a process: a profile of weeks is not a list of threads."""

Weights = dict[tuple[int, bytes], int]
"""Ticks by (key of the innermost label, stack)."""


class Owner(NamedTuple):
    """Whose account it is. The serial tells successive threads of one slot apart; the label is known by its key."""

    slot: int
    serial: int
    label: int


class Told(NamedTuple):
    """What a profile says of an owner."""

    thread: Thread
    label: Label


NOBODY: Final = Thread(-1, 0, 0, "")
"""Whose CPU it is where no thread is known."""


class Sum:
    """CPU time and samples of owners of which the same is said."""

    __slots__ = ("ns", "weights")

    def __init__(self) -> None:
        """Nothing yet."""
        self.ns = 0
        self.weights: Weights = {}


class Ended:
    """What has ended, and who owners are.

    Attributes:
        sums: of what has ended in this window.
    """

    def __init__(self, segment: Segment, labels: Labels, names: Names) -> None:
        """Nothing has ended yet."""
        self._segment = segment
        self._labels = labels
        self._names = names
        self._alive: dict[tuple[int, int], Thread] = {}
        self._over: dict[tuple[int, int], Thread] = {}
        self._told_now = self._told_ever = 0
        # Ended, and records of theirs may still be in the ring.
        self._late_owners: list[tuple[Owner, Told]] = []
        self._late_threads: list[Thread] = []
        self._labels_now: list[int] = []
        self._labels_before: list[int] = []
        self.sums: defaultdict[Told, Sum] = defaultdict(Sum)

    def told(self, owner: Owner) -> Told:
        """What is said of an owner."""
        key = owner[:2]
        thread = self._over.get(key) or self._alive.get(key)
        if thread is None:  # one that this window has not met yet
            self.meet_threads()
            thread = self._alive.setdefault(key, NOBODY)
        return Told(thread, self._labels.label(owner.label))

    def meet_threads(self) -> None:
        """Reads who is alive, and under which name by now."""
        for thread in self._segment.threads():
            self._alive[thread.slot, thread.serial] = self._named(thread)

    def _named(self, thread: Thread) -> Thread:
        return Thread(thread.slot, thread.serial, thread.tid, self._names.thread(thread.comm))

    def take(self, new_ns: dict[Owner, int]) -> None:
        """Takes what has ended. To be called before the ring is emptied.

        A label ends behind its accounts, and an account behind its records. So all accounts of the labels that are
        found here are taken here, and all their records lie before the ring's head that is read afterwards.

        Args:
            new_ns: CPU time of this window that was taken before; what has ended is taken out of it.
        """
        # Those of the drain before are freed with this one, and are not to be freed again: their rows are others' then.
        before = set(self._labels_before)
        self._labels_now = [key for key in self._segment.labels.ended() if key not in before]
        self._labels.ending(self._labels_now)
        self._late_threads = self._segment.threads(ended_only=True)
        for thread in self._late_threads:
            key = (thread.slot, thread.serial)
            if key not in self._over:
                named = self._named(thread)
                is_one_of_many = (
                    self._told_now >= _TOLD_APART or self._told_ever >= _TOLD_APART_EVER
                )
                self._told_now += not is_one_of_many
                self._told_ever += not is_one_of_many
                self._over[key] = Thread(-1, 0, 0, named.comm) if is_one_of_many else named
        for account in self._segment.take_accounts(ended_only=True):
            self.end(account, new_ns)

    def end(self, account: Account, new_ns: dict[Owner, int]) -> None:
        """Takes one account that has ended."""
        owner = Owner(account.slot, account.serial, account.label)
        told = self.told(owner)
        self.sums[told].ns += account.ns + new_ns.pop(owner, 0)
        self._late_owners.append((owner, told))

    def settle(self, pending: dict[Owner, Weights]) -> None:
        """All records have come that were written before `take`: gives threads and labels back.

        Args:
            pending: samples of all owners; those of ended ones are taken out of it.
        """
        self.join(pending)
        # Samples of an ended thread that had no account for them.
        over = {(one.slot, one.serial) for one in self._late_threads}
        for owner in [one for one in pending if one[:2] in over] if over else ():
            self._join(self.told(owner), pending.pop(owner))
        self._segment.free_threads(one.slot for one in self._late_threads)
        for key in over:
            self._over.pop(key, None)
        self._late_threads = []
        # A bin's label may end right behind that of an element in it, which the look for ended ones had passed by then.
        # The bin's is needed until the next look has found the element's: so labels are freed one drain later.
        freed, self._labels_before = self._labels_before, self._labels_now
        self._labels_now = []
        self._labels.freed(freed)
        self._segment.labels.free(freed)

    def join(self, pending: dict[Owner, Weights]) -> None:
        """Adds the samples of accounts that have ended to these."""
        for owner, told in self._late_owners:
            self._join(told, pending.pop(owner, {}))
        self._late_owners.clear()

    def _join(self, told: Told, weights: Weights) -> None:
        into = self.sums[told].weights
        for stack, weight in weights.items():
            into[stack] = into.get(stack, 0) + weight

    def weights(self) -> Iterator[Weights]:
        """Samples of what has ended in this window."""
        return (one.weights for one in self.sums.values() if one.weights)

    def end_window(self) -> None:
        """Forgets what the next window does not need."""
        self.sums.clear()
        self._alive.clear()
        self._told_now = 0
        late = {(one.slot, one.serial) for one in self._late_threads}
        late |= {owner[:2] for owner, _ in self._late_owners}
        self._over = {key: thread for key, thread in self._over.items() if key in late}
