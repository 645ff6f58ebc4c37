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
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.agent.ended import NOBODY, Ended, Owner, Told, Weights
from gst_pyro_shim.agent.labels import Labels
from gst_pyro_shim.agent.stacks import Stacks, cut_key, stack_key
from gst_pyro_shim.agent.unseen import Unseen
from gst_pyro_shim.pprof.model import NO_SAMPLE, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.scaling import scale
from gst_pyro_shim.segment.abi import label_key
from gst_pyro_shim.segment.rows import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Label
    from gst_pyro_shim.segment.segment import Segment
    from gst_pyro_shim.symbols.symbolize import Symbolizer

# The state of a drained record is its label's serial.
_HEADER: Final = struct.Struct("=7I2H")
_KEY_BYTES: Final = 64 * 1024 * 1024
"""Of stacks in one window; beyond it only the ends of deep ones are kept."""


class _Row:
    """What is told of one stack under one label on one thread."""

    __slots__ = ("cpu_ns", "frames", "told", "weight")

    def __init__(self, told: Told, frames: tuple[Frame, ...]) -> None:
        self.told = told
        self.frames = frames
        self.cpu_ns = 0
        self.weight = 0


_Rows = dict[tuple[Told, bytes], _Row]


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

    def __init__(self, segment: Segment, symbolizer: Symbolizer, names: Names) -> None:
        """The first window begins where the tracer came up."""
        self._segment = segment
        self._symbolizer = symbolizer
        self._labels = Labels(segment.labels, names)
        self._stacks = Stacks(self._labels, symbolizer)
        self._ended = Ended(segment, self._labels, names)
        self._pending: dict[Owner, Weights] = {}
        self._key_bytes = 0
        self._unseen = Unseen()
        self._new_ns: defaultdict[Owner, int] = defaultdict(int)
        self._overflows: dict[int, tuple[Label, int]] = {}
        self._links: list[tuple[Label, Label]] = []
        self.end_ns = segment.start_mono_ns
        self.accounted_ns = 0
        self.process_ns = 0
        self.weight = 0
        self.named_weight = 0
        self.dropped = {"dropped_unfinished": 0, "dropped_corrupt": 0}

    @property
    def has_samples(self) -> bool:
        """A sample has come in that no profile has told yet."""
        return bool(self._pending) or any(self._ended.weights())

    def take_links(self) -> list[tuple[Label, Label]]:
        """Elements that were found linked since the last call, upstream one first."""
        taken, self._links = self._links, []
        return taken

    def drain(self, *, final: bool = False) -> None:
        """Empties the ring; takes the accounts of threads and elements that have ended, and gives their rows back.

        Args:
            final: no thread of the host writes any more.
        """
        segment = self._segment
        self._symbolizer.refresh()
        self._labels.refresh()
        self._ended.take(self._new_ns)
        head = segment.head
        while (drained := segment.drain(final=final)).data:
            self._add(drained.data)
            self._count(drained.unfinished, drained.corrupt_words)
        self._count(drained.unfinished, drained.corrupt_words)
        self._links += (
            (self._labels.label(source), self._labels.label(sink))
            for source, sink in segment.take_links()
        )
        for key, ns in segment.take_overflows():
            label, before = self._overflows.get(key) or (self._labels.label(key), 0)
            self._overflows[key] = label, before + ns
        if segment.tail >= head:
            self._ended.settle(self._pending)

    def _count(self, unfinished: int, corrupt_words: int) -> None:
        self.dropped["dropped_unfinished"] += unfinished
        self.dropped["dropped_corrupt"] += bool(corrupt_words)

    def _add(self, data: bytes) -> None:
        at, end = 0, len(data)
        pending = self._pending
        while at < end:
            label_serial, words, slot, serial, label, weight, _, _, depth = _HEADER.unpack_from(
                data, at
            )
            key = stack_key(data, at, depth)
            at += words * 8
            if self._key_bytes > _KEY_BYTES:
                key = cut_key(key)
            owner = Owner(slot, serial, label_key(label, label_serial))
            stacks = pending.get(owner)
            if stacks is None:
                stacks = pending[owner] = {}
            stack = (owner.label, key)
            if stack in stacks:
                stacks[stack] += weight
            else:
                stacks[stack] = weight
                self._key_bytes += len(key)
                # Now, while the file is most likely still there; and the end of the run has less to do.
                self._stacks.resolve(*stack)

    def close(self, *, final: bool = False) -> Profile:
        """The profile of all that came in since the last one. `drain` comes before, and accounts are closed.

        Args:
            final: there is no later window: what waits for its account is told without CPU time.
        """
        segment, ended = self._segment, self._ended
        self._labels.refresh()
        ended.meet_threads()
        for account in segment.take_accounts():
            if account.has_ended:
                ended.end(account, self._new_ns)
            else:
                self._new_ns[Owner(account.slot, account.serial, account.label)] += account.ns
        if final:
            ended.join(self._pending)
        self._symbolizer.promote(self._leaf_weights())
        rows: _Rows = {}
        self._tell_overflows(rows)
        for owner, ns in self._new_ns.items():
            self._tell(rows, ended.told(owner), self._pending.pop(owner, {}), ns)
        for told, one in ended.sums.items():
            self._tell(rows, told, one.weights, one.ns)
        if final:
            for owner, weights in self._pending.items():
                self._tell(rows, ended.told(owner), weights, 0)
            self._pending.clear()
        samples = [self._sample(one) for one in rows.values()]
        self.process_ns = segment.process_cpu_ns
        unseen = self._unseen.take(self.process_ns, self.accounted_ns, final=final)
        if unseen:
            samples.append(_unseen_sample(unseen))
        profile = self._profile(samples)
        self._forget()
        return profile

    def _leaf_weights(self) -> dict[tuple[str, str], int]:
        """Ticks by path and build id of the module that the leaf is in."""
        found: defaultdict[tuple[str, str], int] = defaultdict(int)
        for weights in (*self._pending.values(), *self._ended.weights()):
            for stack, weight in weights.items():
                frames = self._stacks.resolve(*stack).frames
                if frames and frames[0].module:
                    found[frames[0].module, frames[0].build_id] += weight
        return found

    def _tell(self, rows: _Rows, told: Told, weights: Weights, ns: int) -> None:
        """Gives CPU time to the samples that say where it was spent."""
        self.accounted_ns += ns
        if not weights:
            if ns:
                frames = (NO_SAMPLE, self._labels.frame_of(told.label))
                self._row(rows, told, frames, b"").cpu_ns += ns
            return
        parts = scale(list(weights.values()), ns)
        for (one, weight), part in zip(weights.items(), parts, strict=True):
            stack = self._stacks.resolve(*one)
            row = self._row(rows, told, stack.frames, stack.identity)
            row.cpu_ns += part
            row.weight += weight
            self.weight += weight
            self.named_weight += weight if stack.named else 0

    @staticmethod
    def _row(rows: _Rows, told: Told, frames: tuple[Frame, ...], identity: bytes) -> _Row:
        row = rows.get((told, identity))
        if row is None:
            row = rows[told, identity] = _Row(told, frames)
        return row

    def _tell_overflows(self, rows: _Rows) -> None:
        """CPU of threads that found no account: it goes to the samples of its label whose account brought nothing."""
        for key, (label, ns) in self._overflows.items():
            owners = [
                owner
                for owner in self._pending
                if owner.label == key and not self._new_ns.get(owner)
            ]
            weights = [sum(self._pending[owner].values()) for owner in owners]
            if not owners:
                self._tell(rows, Told(NOBODY, label), {}, ns)
                continue
            for owner, part in zip(owners, scale(weights, ns), strict=True):
                self._tell(rows, self._ended.told(owner), self._pending.pop(owner), part)

    def _sample(self, row: _Row) -> Sample:
        thread, label = row.told
        labels = tuple(_labels(label, thread.comm))
        return Sample(row.frames, row.cpu_ns, row.weight, labels, thread.tid)

    def _profile(self, samples: list[Sample]) -> Profile:
        segment = self._segment
        end_ns = segment.close_mono_ns
        if end_ns <= self.end_ns:  # the shim did not close: it has died, or is stuck
            end_ns = max(self.end_ns, segment.now_mono_ns())
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
        self._new_ns.clear()
        self._overflows.clear()
        self._ended.end_window()
        self._key_bytes = sum(len(key) for stacks in self._pending.values() for _, key in stacks)
        self._labels.end_window()
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
