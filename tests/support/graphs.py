# SPDX-License-Identifier: MIT
"""Graphs of files and rooms, for tests that hold the code to its rooms."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, its first node once more at its end; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []
