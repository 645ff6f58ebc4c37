# SPDX-License-Identifier: MIT
"""Threads, accounts and labels that have ended in a window: their rows are taken at each drain, and freed.

Their CPU time is added up by attribution, so that the memory of a window goes with what lives and with distinct names.
The last samples of an account may still be in the ring when the account is taken. They are joined to its CPU time once
all records that were written before have been drained.

Context: agent.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.agent.attribution import NO_THREAD, AccountKey, Attribution, StackWeights
from gst_pyro_shim.segment.rows import Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gst_pyro_shim.agent.labels import Labels
    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Account
    from gst_pyro_shim.segment.segment import Segment

_MAX_THREADS_IN_WINDOW: Final = 1024
"""Threads that ended in one window and have a tid in its profile; further ones are added up by name."""
_MAX_THREADS: Final = 2048
"""The same in the life of a process: a profile of weeks is no list of threads."""


class Total:
    """CPU time and samples of what has ended under one attribution.

    Attributes:
        ns: CPU time.
        weights: its samples.
    """

    __slots__ = ("ns", "weights")

    def __init__(self) -> None:
        """Starts at nothing."""
        self.ns = 0
        self.weights: StackWeights = {}


class Ended:
    """What has ended; also knows all threads, live ones too, by slot and serial.

    Attributes:
        totals: what has ended in this window.
    """

    def __init__(self, segment: Segment, labels: Labels, names: Names) -> None:
        """Takes nothing yet."""
        self._segment = segment
        self._labels = labels
        self._names = names
        self._live_threads: dict[tuple[int, int], Thread] = {}
        self._ended_threads: dict[tuple[int, int], Thread] = {}
        self._threads_in_window = self._threads_ever = 0
        # Their records may still be in the ring.
        self._waiting_accounts: list[tuple[AccountKey, Attribution]] = []
        self._waiting_threads: list[Thread] = []
        self._waiting_labels: list[int] = []
        # Found to have ended one drain before those.
        self._labels_to_free: list[int] = []
        self.totals: defaultdict[Attribution, Total] = defaultdict(Total)

    def attribution(self, account: AccountKey) -> Attribution:
        """The thread and the label under which a profile shows an account."""
        key = (account.slot, account.serial)
        thread = self._ended_threads.get(key) or self._live_threads.get(key)
        if thread is None:  # it was registered in this window
            self.read_threads()
            thread = self._live_threads.setdefault(key, NO_THREAD)
        return Attribution(thread, self._labels.label(account.label))

    def read_threads(self) -> None:
        """Reads which threads there are, and their names, which may have changed."""
        for thread in self._segment.threads():
            self._live_threads[thread.slot, thread.serial] = self._named(thread)

    def _named(self, thread: Thread) -> Thread:
        return Thread(thread.slot, thread.serial, thread.tid, self._names.thread(thread.comm))

    def take(self, new_ns: dict[AccountKey, int]) -> None:
        """Takes what has ended. To be called before the ring is drained.

        A label ends after its accounts, and an account after its last record. So all accounts of the labels that are
        found here are taken here, and all their records are before the ring's head that is read afterwards.

        Args:
            new_ns: CPU time taken earlier in this window; that of ended accounts is moved from here to `totals`.
        """
        # Labels of the drain before are freed in `release`. They must not be freed twice: their rows are others' then.
        before = set(self._labels_to_free)
        self._waiting_labels = [key for key in self._segment.labels.ended() if key not in before]
        self._labels.pin(self._waiting_labels)
        self._waiting_threads = self._segment.threads(ended_only=True)
        for thread in self._waiting_threads:
            key = (thread.slot, thread.serial)
            if key not in self._ended_threads:
                self._ended_threads[key] = self._bounded(self._named(thread))
        for account in self._segment.take_accounts(ended_only=True):
            self.add_account(account, new_ns)

    def _bounded(self, thread: Thread) -> Thread:
        """An ended thread, or, beyond the bounds, one that stands for all of its name."""
        if self._threads_in_window >= _MAX_THREADS_IN_WINDOW or self._threads_ever >= _MAX_THREADS:
            return replace(NO_THREAD, comm=thread.comm)
        self._threads_in_window += 1
        self._threads_ever += 1
        return thread

    def add_account(self, account: Account, new_ns: dict[AccountKey, int]) -> None:
        """Adds the CPU time of one account that has ended.

        Args:
            account: as it was taken.
            new_ns: CPU time taken earlier in this window; the account's is moved from here to `totals`.
        """
        key = AccountKey(account.slot, account.serial, account.label)
        attribution = self.attribution(key)
        self.totals[attribution].ns += account.ns + new_ns.pop(key, 0)
        self._waiting_accounts.append((key, attribution))

    def release(self, pending: dict[AccountKey, StackWeights]) -> None:
        """Frees threads and labels: all records that were written before `take` have been drained.

        Args:
            pending: samples by account; those of ended accounts are moved from here to `totals`.
        """
        self.join_samples(pending)
        # Samples of an ended thread that found no account.
        ended = {(one.slot, one.serial) for one in self._waiting_threads}
        for key in [key for key in pending if key[:2] in ended] if ended else ():
            self._add_samples(self.attribution(key), pending.pop(key))
        self._segment.free_threads(one.slot for one in self._waiting_threads)
        for thread in ended:
            self._ended_threads.pop(thread, None)
        self._waiting_threads = []
        # A bin's label may end right after that of an element in it, which the search for ended labels had passed by
        # then. The bin's is needed until the next search has found the element's: so labels are freed one drain later.
        to_free, self._labels_to_free = self._labels_to_free, self._waiting_labels
        self._waiting_labels = []
        self._labels.release(to_free)
        self._segment.labels.free(to_free)

    def join_samples(self, pending: dict[AccountKey, StackWeights]) -> None:
        """Moves the samples of accounts that have ended from `pending` to `totals`."""
        for key, attribution in self._waiting_accounts:
            self._add_samples(attribution, pending.pop(key, {}))
        self._waiting_accounts.clear()

    def _add_samples(self, attribution: Attribution, weights: StackWeights) -> None:
        into = self.totals[attribution].weights
        for stack, weight in weights.items():
            into[stack] = into.get(stack, 0) + weight

    def weights(self) -> Iterator[StackWeights]:
        """Samples of what has ended in this window."""
        return (total.weights for total in self.totals.values() if total.weights)

    def end_window(self) -> None:
        """Discards what the next window does not need."""
        self.totals.clear()
        self._live_threads.clear()
        self._threads_in_window = 0
        waiting = {(one.slot, one.serial) for one in self._waiting_threads}
        waiting |= {key[:2] for key, _ in self._waiting_accounts}
        self._ended_threads = {
            key: thread for key, thread in self._ended_threads.items() if key in waiting
        }
