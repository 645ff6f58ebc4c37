# SPDX-License-Identifier: MIT
"""One window: records are drained, accounts say how much they weigh, a profile is made.

    ring ──drain──> ticks by (thread, label, stack) ──┐
                                                      ├─close──> samples, scaled to the accounts
    accounts ──> new CPU time by (thread, label) ─────┘

An account with new CPU time and no samples becomes one stack, its element over [no sample]. Samples whose account has
no new CPU time were taken after the close: they wait for the next window. Nothing is lost and nothing is invented: CPU
time comes from accounts alone, and the weight of samples is the ticks that were drained.

Context: agent.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from gst_pyro_shim.agent.attribution import NO_THREAD, AccountKey, Attribution, StackWeights
from gst_pyro_shim.agent.ended import Ended
from gst_pyro_shim.agent.labels import Labels
from gst_pyro_shim.agent.stack_totals import StackTotals
from gst_pyro_shim.agent.stacks import Stacks, cut_key, stack_key
from gst_pyro_shim.agent.unseen import Unseen
from gst_pyro_shim.pprof.model import NO_SAMPLE, Profile, Sample, element_frame
from gst_pyro_shim.pprof.scaling import scale
from gst_pyro_shim.segment.abi import label_key
from gst_pyro_shim.segment.rows import UNSEEN

if TYPE_CHECKING:
    from gst_pyro_shim.agent.naming import Names
    from gst_pyro_shim.segment.rows import Label
    from gst_pyro_shim.segment.segment import Segment
    from gst_pyro_shim.symbols.symbolize import Symbolizer

# struct gp_record of abi.h; in a drained record the first word is the serial of its label.
_HEADER: Final = struct.Struct("=7I2H")
_KEY_BYTES: Final = 64 * 1024 * 1024
"""Of stacks in one window; beyond it deep stacks keep only their ends."""


class Window:
    """Gathers records and CPU time, and makes a profile of them, again and again.

    Attributes:
        end_ns: end of the last window, CLOCK_MONOTONIC, ns; the next window begins there.
        accounted_ns: CPU time in all profiles so far that came from accounts.
        process_ns: CPU time of the process by its own clock at the last close. It is read after accounts are closed.
        weight: ticks of all samples in all profiles so far.
        named_weight: ticks of those whose leaf has a function's name.
        dropped: counters of what was drained and could not be used, by wire name.
    """

    def __init__(self, segment: Segment, symbolizer: Symbolizer, names: Names) -> None:
        """Begins the first window at the time at which the tracer started."""
        self._segment = segment
        self._symbolizer = symbolizer
        self._labels = Labels(segment.labels, names)
        self._stacks = Stacks(self._labels, symbolizer)
        self._ended = Ended(segment, self._labels, names)
        self._pending: dict[AccountKey, StackWeights] = {}
        self._key_bytes = 0
        self._unseen = Unseen()
        self._new_ns: defaultdict[AccountKey, int] = defaultdict(int)
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
        """Samples were drained that are in no profile yet."""
        return bool(self._pending) or any(self._ended.weights())

    def take_links(self) -> list[tuple[Label, Label]]:
        """Elements that were found linked since the last call, upstream one first."""
        taken, self._links = self._links, []
        return taken

    def drain(self, *, final: bool = False) -> None:
        """Empties the ring; takes accounts of threads and elements that have ended, and frees their rows.

        Args:
            final: no thread of the host writes any more.
        """
        segment = self._segment
        self._symbolizer.refresh()
        self._labels.refresh()
        self._ended.take(self._new_ns)
        head = segment.head
        while (drained := segment.drain(final=final)).data:
            self._add_records(drained.data)
            self._count_dropped(drained.unfinished, drained.corrupt_words)
        self._count_dropped(drained.unfinished, drained.corrupt_words)
        self._links += (
            (self._labels.label(source), self._labels.label(sink))
            for source, sink in segment.take_links()
        )
        for key, ns in segment.take_overflows():
            label, before = self._overflows.get(key) or (self._labels.label(key), 0)
            self._overflows[key] = label, before + ns
        if segment.tail >= head:
            self._ended.release(self._pending)

    def _count_dropped(self, unfinished: int, corrupt_words: int) -> None:
        self.dropped["dropped_unfinished"] += unfinished
        self.dropped["dropped_corrupt"] += bool(corrupt_words)

    def _add_records(self, data: bytes) -> None:
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
            account = AccountKey(slot, serial, label_key(label, label_serial))
            stacks = pending.get(account)
            if stacks is None:
                stacks = pending[account] = {}
            stack = (account.label, key)
            if stack in stacks:
                stacks[stack] += weight
            else:
                stacks[stack] = weight
                self._key_bytes += len(key)
                # Resolved now: the module's file is most likely still there, and the end of the run has less to do.
                self._stacks.resolve(*stack)

    def close(self, *, final: bool = False) -> Profile:
        """Makes the profile of all that came since the last one. Before it, accounts are closed and `drain` is called.

        Args:
            final: no window follows: samples that wait for their account are included without CPU time.
        """
        segment, ended = self._segment, self._ended
        self._labels.refresh()
        ended.read_threads()
        for account in segment.take_accounts():
            if account.has_ended:
                ended.add_account(account, self._new_ns)
            else:
                self._new_ns[AccountKey(account.slot, account.serial, account.label)] += account.ns
        if final:
            ended.join_samples(self._pending)
        self._symbolizer.promote(self._leaf_weights())
        totals = StackTotals()
        self._attribute_overflows(totals)
        for key, ns in self._new_ns.items():
            self._attribute(totals, ended.attribution(key), self._pending.pop(key, {}), ns)
        for attribution, total in ended.totals.items():
            self._attribute(totals, attribution, total.weights, total.ns)
        if final:
            for key, weights in self._pending.items():
                self._attribute(totals, ended.attribution(key), weights, 0)
            self._pending.clear()
        samples = totals.samples()
        self.process_ns = segment.process_cpu_ns
        unseen_ns = self._unseen.take(self.process_ns, self.accounted_ns, final=final)
        if unseen_ns:
            samples.append(_unseen_sample(unseen_ns))
        profile = self._profile(samples)
        self._forget()
        return profile

    def _leaf_weights(self) -> dict[tuple[str, str], int]:
        """Ticks by path and build id of the leaf's module."""
        found: defaultdict[tuple[str, str], int] = defaultdict(int)
        for weights in (*self._pending.values(), *self._ended.weights()):
            for stack, weight in weights.items():
                frames = self._stacks.resolve(*stack).frames
                if frames and frames[0].module:
                    found[frames[0].module, frames[0].build_id] += weight
        return found

    def _attribute(
        self, totals: StackTotals, attribution: Attribution, weights: StackWeights, ns: int
    ) -> None:
        """Divides CPU time among the samples that were taken in it."""
        self.accounted_ns += ns
        if not weights:
            if ns:
                frames = (NO_SAMPLE, self._labels.frame_of(attribution.label))
                totals.add(attribution, frames, b"", ns, 0)
            return
        parts = scale(list(weights.values()), ns)
        for (key, weight), part in zip(weights.items(), parts, strict=True):
            stack = self._stacks.resolve(*key)
            totals.add(attribution, stack.frames, stack.identity, part, weight)
            self.weight += weight
            self.named_weight += weight if stack.named else 0

    def _attribute_overflows(self, totals: StackTotals) -> None:
        """Divides CPU time that found no account among its label's samples whose account has no new time."""
        for of_label, (label, ns) in self._overflows.items():
            accounts = [
                key for key in self._pending if key.label == of_label and not self._new_ns.get(key)
            ]
            if not accounts:
                self._attribute(totals, Attribution(NO_THREAD, label), {}, ns)
                continue
            weights = [sum(self._pending[key].values()) for key in accounts]
            for key, part in zip(accounts, scale(weights, ns), strict=True):
                self._attribute(totals, self._ended.attribution(key), self._pending.pop(key), part)

    def _profile(self, samples: list[Sample]) -> Profile:
        segment = self._segment
        end_ns = segment.close_mono_ns
        if end_ns <= self.end_ns:  # the shim has not closed: the host is dead, or its poller hangs
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
        """Discards what the next window does not need."""
        self._new_ns.clear()
        self._overflows.clear()
        self._ended.end_window()
        self._key_bytes = sum(len(key) for stacks in self._pending.values() for _, key in stacks)
        self._labels.end_window()
        self._symbolizer.end_window()


def _unseen_sample(ns: int) -> Sample:
    frames = (NO_SAMPLE, element_frame(UNSEEN.name))
    return Sample(frames, ns, 0, (("element", UNSEEN.name),))
