# SPDX-License-Identifier: MIT
"""The developers' dump of a live process: it names the pipeline's elements, shows records, and takes none away.

Context: tests. What each part of a dump shows: tests/unit/segment/test_dump.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof import files
from tests.support.hosts import (
    HOMES,
    Done,
    clean_environment,
    environment,
    gst_launch,
    run,
    wait_for_profile,
)
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

PIPELINE = (
    "videotestsrc name=source ! videoconvert name=convert ! video/x-raw,format=RGB ! fakesink"
)


def _dump(pid: int) -> Done:
    words = [sys.executable, "-m", "gst_pyro_shim.segment.dump", "--last", "2", "--pid", str(pid)]
    return run(words, clean_environment())


@pytest.mark.parametrize("home", HOMES)
def test_a_dump_shows_a_live_pipeline_and_takes_nothing_away(home: str, tmp_path: Path) -> None:
    output = tmp_path / "profile.pb.gz"
    dumps: list[Done] = []

    def shows_records() -> bool:
        """The agent drains four times a second: a moment later there may be none."""
        dumps.append(_dump(host.pid))
        return "stack ended" in dumps[-1].out

    with subprocess.Popen(
        gst_launch(PIPELINE),
        env=environment("preload", home, output=str(output)),
    ) as host:
        try:
            wait_for(shows_records, what="no dump with a record")
            host.send_signal(signal.SIGINT)
            host.wait(60)
        except BaseException:
            host.kill()
            raise
    out = dumps[-1].out
    assert dumps[-1].status == 0, dumps[-1].err
    assert "source live element (videotestsrc) in " in out
    assert "convert live element (videoconvert) in " in out
    assert "LABEL " in out
    assert "libgstvideo-1.0.so" in out
    wait_for_profile(output)
    (stats,) = files.read(output).stats()
    counters = stats.counters
    assert stats.total_weight == counters["samples"] + counters.get("ticks_overrun", 0)
    assert not counters.get("dropped_unfinished")
    assert not counters.get("dropped_corrupt")
