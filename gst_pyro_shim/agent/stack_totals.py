# SPDX-License-Identifier: MIT
"""CPU time and ticks of one window by stack, and the profile's samples that they become.

Context: agent. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gst_pyro_shim.agent.labels import sample_labels
from gst_pyro_shim.pprof.model import Sample

if TYPE_CHECKING:
    from gst_pyro_shim.agent.attribution import Attribution
    from gst_pyro_shim.pprof.model import Frame


class _Total:
    """CPU time and ticks of one stack under one attribution."""

    __slots__ = ("cpu_ns", "frames", "weight")

    def __init__(self, frames: tuple[Frame, ...]) -> None:
        self.frames = frames
        self.cpu_ns = 0
        self.weight = 0


class StackTotals:
    """Totals by attribution and stack."""

    def __init__(self) -> None:
        """Starts empty."""
        self._totals: dict[tuple[Attribution, bytes], _Total] = {}

    def add(
        self,
        attribution: Attribution,
        frames: tuple[Frame, ...],
        identity: bytes,
        cpu_ns: int,
        weight: int,
    ) -> None:
        """Adds to the total of a stack.

        Args:
            attribution: thread and label that it is shown under.
            frames: leaf first.
            identity: equal for stacks of equal frames (`stacks.Stack`).
            cpu_ns: CPU time, ns.
            weight: ticks.
        """
        total = self._totals.get((attribution, identity))
        if total is None:
            total = self._totals[attribution, identity] = _Total(frames)
        total.cpu_ns += cpu_ns
        total.weight += weight

    def samples(self) -> list[Sample]:
        """One sample for each total, in the order in which they were added first."""
        return [
            Sample(
                total.frames,
                total.cpu_ns,
                total.weight,
                tuple(sample_labels(label, thread.comm)),
                thread.tid,
            )
            for ((thread, label), _), total in self._totals.items()
        ]
