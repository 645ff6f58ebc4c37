# SPDX-License-Identifier: MIT
"""What a pad probe does counts for the element that the pad belongs to, wherever the probe is.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import compile_host, needs_gstreamer, profile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.measured]

CASES = 24


def test_a_probe_counts_for_the_element_whose_pad_it_is_on(tmp_path: Path) -> None:
    """Source, sink, ghost pads; buffers, events, flushes, queries, both ways; blocking, idle; pushed, pulled."""
    needs_gstreamer("videotestsrc")
    done, report = profile([str(compile_host("probes.c", tmp_path))], tmp_path)
    told = [line.split() for line in done.out.splitlines()]
    assert len(told) == CASES, done.out + done.err
    rows = report.elements
    found, wanted = {}, {}
    for pipeline, owner, burned_ns in told:
        burned_s = int(burned_ns) / 1e9
        ends = {
            name: rows.get(f"/{pipeline}/{name}", {}).get("self_cpu_s", 0)
            for name in ("before", "inner/before", "after")
        }
        found[pipeline] = [name for name, cpu_s in ends.items() if cpu_s > 0.5 * burned_s]
        wanted[pipeline] = [owner]
        assert sum(ends.values()) == pytest.approx(burned_s, rel=0.15), pipeline
    assert found == wanted
