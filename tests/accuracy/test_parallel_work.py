# SPDX-License-Identifier: MIT
"""Work that an element hands to GStreamer's or GLib's pools belongs to that element.

Context: test.
"""

import pytest

from tests.accuracy.burning import Furnace

pytestmark = [pytest.mark.integration, pytest.mark.measured]

FRAMES = "num-buffers=60 ! video/x-raw,format=I420,width=1280,height=720"
# libgstreamer's own pools run GstTasks, whose element shows later, and this, whose element never would.
PIPELINES = {
    "videoscale": f"videotestsrc {FRAMES} ! videoscale n-threads=3 name=worker"
    " ! video/x-raw,width=1000,height=600 ! fakesink",
    "videoconvert": f"videotestsrc {FRAMES} ! videoconvert n-threads=3 name=worker"
    " ! video/x-raw,format=RGB ! fakesink",
    "compositor": f"videotestsrc {FRAMES} ! compositor name=worker ! fakesink"
    f" videotestsrc {FRAMES} ! worker.",
}


@pytest.fixture(scope="module")
def furnace(tmp_path_factory):
    return Furnace(tmp_path_factory.mktemp("furnace"))


@pytest.mark.parametrize("element", PIPELINES)
def test_parallel_work_belongs_to_its_element(furnace, element):
    outcome = furnace.run(PIPELINES[element], rate=100)
    worker = outcome.row("worker")
    assert worker["threads"] >= 2, outcome.text()
    strays_s = sum(
        row["self_cpu_s"]
        for row in outcome.report["elements"]
        if row["name"] in {"[GStreamer task]", "[GLib pool]", "[other threads]"}
    )
    assert strays_s < outcome.report["process_cpu_s"] / 100, outcome.text()
