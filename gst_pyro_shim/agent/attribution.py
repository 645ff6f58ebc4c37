# SPDX-License-Identifier: MIT
"""Names for whose CPU time something is: an account in the segment, and a thread with a label in a profile.

Context: agent. Pure data.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gst_pyro_shim.segment.rows import Label, Thread

StackWeights = dict[tuple[int, bytes], int]
"""Ticks by stack: (key of the innermost label, `stacks.stack_key`)."""


class AccountKey(NamedTuple):
    """Identifies the account that a record belongs to.

    Attributes:
        slot: of the thread.
        serial: of the slot; tells successive threads of one slot apart.
        label: the label's key (`abi.label_key`).
    """

    slot: int
    serial: int
    label: int


class Attribution(NamedTuple):
    """The thread and the label under which a profile shows CPU time. Several accounts may share one."""

    thread: Thread
    label: Label


NO_THREAD: Final = Thread(-1, 0, 0, "")
"""Of CPU time whose thread is not known."""
