# SPDX-License-Identifier: MIT
"""One window: records come in, accounts say how much they weigh, a profile comes out.

    ring ──drain──> weights by (thread, label, stack) ┐
                                                      ├─close──> samples, scaled to the accounts
    accounts ──> new CPU time by (thread, label) ─────┘

An account without samples is one stack, its element over [no sample]. Samples whose account brought nothing new wait
for the next window: they were taken after the close. Nothing is lost, nothing is invented: CPU time comes from accounts
alone, and the weight of samples is the ticks that were drained.

Context: agent.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from gst_pyro_shim.accounts import Ledger, Unseen, scale
from gst_pyro_shim.model import NO_SAMPLE, Frame, Profile, Sample, element_frame
from gst_pyro_shim.segment_rows import UNSEEN, Thread
from gst_pyro_shim.stacks import Stacks, cut_key, stack_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.segment import Segment
    from gst_pyro_shim.segment_rows import Label
    from gst_pyro_shim.symbolize import Symbolizer

_HEADER: Final = struct.Struct("=7I2H")
_KEY_BYTES: Final = 64 * 1024 * 1024
"""Of stacks in one window; beyond it only the ends of deep ones are kept."""


class Owner(NamedTuple):
    """Whose account it is. The serial tells successive threads of one slot apart."""

    slot: int
    serial: int
    label: int


class _Sum:
    """What is told of one stack under one label on one thread."""

    __slots__ = ("cpu_ns", "frames", "owner", "weight")

    def __init__(self, owner: Owner, frames: tuple[Frame, ...]) -> None:
        self.owner = owner
        self.frames = frames
        self.cpu_ns = 0
        self.weight = 0


class Window:
    """Gathers, and makes a profile of what was gathered, again and again.

    Attributes:
        end_ns: of the last window, CLOCK_MONOTONIC; the next one begins there.
        accounted_ns: CPU time told so far, of all windows.
        process_ns: CPU time of the process by its own clock, at the last close. Accounts are closed before it is read.
        weight: ticks of all samples told so far.
        named_weight: of these, with a function's name for a leaf.
        dropped: what came out of the ring and could not be used, by reason.
    """

    def __init__(self, segment: Segment, symbolizer: Symbolizer) -> None:
        """The first window begins where the tracer came up."""
        self._segment = segment
        self._symbolizer = symbolizer
        self._stacks = Stacks(segment, symbolizer)
        self._pending: dict[Owner, dict[bytes, int]] = {}
        self._key_bytes = 0
        self._ledger: Ledger[Owner] = Ledger()
        self._overflow_ledger: Ledger[int] = Ledger()
        self._unseen = Unseen()
        self._new_ns: defaultdict[Owner, int] = defaultdict(int)
        self._threads: dict[tuple[int, int], Thread] = {}
        self._ended: set[tuple[int, int]] = set()
        self.end_ns = segment.start_mono_ns
        self.accounted_ns = 0
        self.process_ns = 0
        self.weight = 0
        self.named_weight = 0
        self.dropped = {"dropped_unfinished": 0, "dropped_corrupt": 0}

    @property
    def has_samples(self) -> bool:
        """A sample has come in that no profile has told yet."""
        return bool(self._pending)

    def drain(self, *, final: bool = False) -> None:
        """Empties the ring, then takes the accounts of threads that have ended and gives their slots back.

        Args:
            final: no thread of the host writes any more.
        """
        segment = self._segment
        self._symbolizer.refresh()
        # In this order: all that a thread ever wrote lies before the head that is read after its end was seen.
        ended = segment.threads(ended_only=True)
        head = segment.head
        while (drained := segment.drain(final=final)).data:
            self._add(drained.data)
            self._count(drained.unfinished, drained.corrupt_words)
        self._count(drained.unfinished, drained.corrupt_words)
        if ended and segment.tail >= head:
            self._take_ended(ended)

    def _count(self, unfinished: int, corrupt_words: int) -> None:
        self.dropped["dropped_unfinished"] += unfinished
        self.dropped["dropped_corrupt"] += bool(corrupt_words)

    def _add(self, data: bytes) -> None:
        at, end = 0, len(data)
        pending = self._pending
        while at < end:
            _, words, slot, serial, label, weight, _, _, depth = _HEADER.unpack_from(data, at)
            key = stack_key(data, at, depth)
            at += words * 8
            if self._key_bytes > _KEY_BYTES:
                key = cut_key(key)
            owner = Owner(slot, serial, label)
            stacks = pending.get(owner)
            if stacks is None:
                stacks = pending[owner] = {}
            if key in stacks:
                stacks[key] += weight
            else:
                stacks[key] = weight
                self._key_bytes += len(key)
                # Now, while the file is most likely still there; and the end of the run has less to do.
                self._stacks.resolve(label, key)

    def _take_ended(self, ended: list[Thread]) -> None:
        ids = {(thread.slot, thread.serial) for thread in ended}
        self._threads.update(((thread.slot, thread.serial), thread) for thread in ended)
        for account in self._segment.accounts(ended_only=True):
            if (account.slot, account.serial) in ids:
                owner = Owner(account.slot, account.serial, account.label)
                self._new_ns[owner] += self._ledger.take(owner, account.total_ns)
                self._ledger.forget(owner)
        self._ended |= ids
        self._segment.free(thread.slot for thread in ended)

    def close(self, *, final: bool = False) -> Profile:
        """The profile of all that came in since the last one. `drain` comes before, and accounts are closed.

        Args:
            final: there is no later window: what waits for its account is told without CPU time.
        """
        segment = self._segment
        for thread in segment.threads():
            self._threads[thread.slot, thread.serial] = thread
        for account in segment.accounts():
            if (account.slot, account.serial) not in self._ended:
                owner = Owner(account.slot, account.serial, account.label)
                new = self._ledger.take(owner, account.total_ns)
                if new:
                    self._new_ns[owner] += new
        self._symbolizer.promote(self._leaf_weights())
        sums: dict[tuple[Owner, bytes], _Sum] = {}
        for owner, ns in self._new_ns.items():
            self._tell(sums, owner, ns)
        self._tell_overflows(sums)
        self._tell_rest(sums, final=final)
        samples = [self._sample(one) for one in sums.values()]
        self.process_ns = segment.process_cpu_ns
        unseen = self._unseen.take(self.process_ns, self.accounted_ns, final=final)
        if unseen:
            samples.append(_unseen_sample(unseen))
        profile = self._profile(samples)
        self._forget()
        return profile

    def _leaf_weights(self) -> dict[tuple[str, str], int]:
        """Ticks by path and build id of the module that the leaf is in."""
        weights: defaultdict[tuple[str, str], int] = defaultdict(int)
        for owner, stacks in self._pending.items():
            for key, weight in stacks.items():
                frames = self._stacks.resolve(owner.label, key).frames
                if frames and frames[0].module:
                    weights[frames[0].module, frames[0].build_id] += weight
        return weights

    def _tell(self, sums: dict[tuple[Owner, bytes], _Sum], owner: Owner, ns: int) -> None:
        """Gives an owner's new CPU time to its samples."""
        self.accounted_ns += ns
        stacks = self._pending.pop(owner, None)
        if stacks is None:
            if ns:
                frames = (NO_SAMPLE, self._stacks.label_frame(owner.label))
                self._sum(sums, owner, frames, b"").cpu_ns += ns
        elif ns or (owner.slot, owner.serial) in self._ended:
            self._tell_stacks(sums, owner, stacks, ns)
        else:
            self._pending[owner] = stacks

    def _tell_stacks(
        self,
        sums: dict[tuple[Owner, bytes], _Sum],
        owner: Owner,
        stacks: dict[bytes, int],
        ns: int,
    ) -> None:
        parts = scale(list(stacks.values()), ns)
        for (key, weight), part in zip(stacks.items(), parts, strict=True):
            stack = self._stacks.resolve(owner.label, key)
            one = self._sum(sums, owner, stack.frames, stack.identity)
            one.cpu_ns += part
            one.weight += weight
            self.weight += weight
            self.named_weight += weight if stack.named else 0

    @staticmethod
    def _sum(
        sums: dict[tuple[Owner, bytes], _Sum],
        owner: Owner,
        frames: tuple[Frame, ...],
        identity: bytes,
    ) -> _Sum:
        one = sums.get((owner, identity))
        if one is None:
            one = sums[owner, identity] = _Sum(owner, frames)
        return one

    def _tell_overflows(self, sums: dict[tuple[Owner, bytes], _Sum]) -> None:
        """CPU of threads that found no account: it goes to the samples of its label that found none either."""
        for label, total_ns in self._segment.overflows().items():
            ns = self._overflow_ledger.take(label, total_ns)
            if not ns:
                continue
            owners = [
                owner
                for owner in self._pending
                if owner.label == label and owner not in self._ledger
            ]
            weights = [sum(self._pending[owner].values()) for owner in owners]
            if not owners:
                self._tell(sums, Owner(-1, 0, label), ns)
            else:
                for owner, part in zip(owners, scale(weights, ns), strict=True):
                    self._tell(sums, owner, part)

    def _tell_rest(self, sums: dict[tuple[Owner, bytes], _Sum], *, final: bool) -> None:
        """Samples whose CPU was told before they came out of the ring, and will not grow any more."""
        for owner in list(self._pending):
            if final or (owner.slot, owner.serial) in self._ended:
                self._tell_stacks(sums, owner, self._pending.pop(owner), 0)

    def _sample(self, one: _Sum) -> Sample:
        label = self._segment.label(one.owner.label)
        thread = self._threads.get((one.owner.slot, one.owner.serial))
        tid = thread.tid if thread is not None else 0
        comm = thread.comm if thread is not None else ""
        return Sample(one.frames, one.cpu_ns, one.weight, tuple(_labels(label, comm)), tid)

    def _profile(self, samples: list[Sample]) -> Profile:
        segment = self._segment
        end_ns = segment.close_mono_ns
        if end_ns <= self.end_ns:  # the shim did not close: it has died, or is stuck
            end_ns = segment.now_mono_ns()
        rate = segment.sample_rate if segment.sample_clock != "none" else 0
        profile = Profile(
            start_ns=segment.wall_ns(self.end_ns),
            duration_ns=end_ns - self.end_ns,
            period_ns=1_000_000_000 // rate if rate else 0,
            samples=samples,
        )
        self.end_ns = end_ns
        return profile

    def _forget(self) -> None:
        """What the next window does not need."""
        for thread_id in self._ended:
            self._threads.pop(thread_id, None)
        self._ended.clear()
        self._new_ns.clear()
        self._key_bytes = sum(len(key) for stacks in self._pending.values() for key in stacks)
        self._symbolizer.end_window()


def _labels(label: Label, comm: str) -> Iterable[tuple[str, str]]:
    """Labels of a sample; a server makes series of them, so nothing that changes from run to run."""
    yield "element", label.name
    if label.factory:
        yield "factory", label.factory
    if label.pipeline:
        yield "pipeline", label.pipeline
    if comm:
        yield "thread", comm
    # Elements directly in the pipeline are known by their name; only in bins below can there be namesakes.
    if label.kind == "element" and label.path.count("/") > 2:
        yield "path", label.path


def _unseen_sample(ns: int) -> Sample:
    frames = (NO_SAMPLE, element_frame(UNSEEN.name))
    return Sample(frames, ns, 0, (("element", UNSEEN.name),))
