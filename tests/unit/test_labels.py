# SPDX-License-Identifier: MIT
"""Labels whose rows are freed: their names in stacks are kept until the window's end."""

from __future__ import annotations

import pytest

from gst_pyro_shim.agent.labels import Labels
from gst_pyro_shim.agent.naming import Names
from gst_pyro_shim.segment.rows import Step


class Rows:
    """One element in a pipeline, until its row is freed."""

    def __init__(self):
        self.moves = 0
        self.is_freed = False

    def path(self, key):
        if self.is_freed:
            return []
        return [
            Step(1, "state_change", "session", "pipeline", False),
            Step(key, "element", "encoder", "x264enc", False),
        ]


@pytest.mark.parametrize("moved", [0, 1])
def test_a_stack_names_an_element_whose_row_was_freed_in_the_window(moved):
    """Another element's move has all frames forgotten, and the stacks that were resolved with them."""
    rows = Rows()
    labels = Labels(rows, Names(200, lambda _: False))
    assert labels.frame(7).name == "encoder"
    rows.moves += moved
    labels.refresh()
    labels.pin([7])
    rows.moves += moved
    rows.is_freed = True  # the bin's row, and then its own
    labels.refresh()
    labels.release([7])
    assert labels.frame(7).name == "encoder"
    labels.end_window()
    assert labels.frame(7).name == "[other threads]"
