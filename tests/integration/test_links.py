# SPDX-License-Identifier: MIT
"""Who is linked to whom, as a run's file tells it: tees, bins, pull mode, demultiplexers that link late.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof import files
from gst_pyro_shim.views import element_paths
from tests.integration.test_pipelines import make_movie
from tests.support.hosts import gst_launch, needs_gstreamer, profile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def links_of(pipeline: str, tmp_path: Path, home: str = "auto") -> set[tuple[str, str]]:
    """Paths of linked elements, without the pipeline's name."""
    done, _ = profile(gst_launch(pipeline), tmp_path, way="run", home=home)
    assert done.status == 0, done.err
    told = element_paths.settled_links(files.read(tmp_path / f"run-{home}.pb.gz"))
    prefix = "/pipeline0/"
    assert all(one.path.startswith(prefix) and one.factory for link in told for one in link)
    return {(a.path.removeprefix(prefix), b.path.removeprefix(prefix)) for a, b in told}


@pytest.mark.parametrize("home", ["embedded", "process"])
def test_branches_queues_and_bins(tmp_path: Path, home: str) -> None:
    pipeline = (
        "videotestsrc num-buffers=20 ! tee name=t"
        " t. ! queue ! bin.( name=a identity name=first ! bin.( name=b identity name=second ) ) ! fakesink"
        " t. ! queue ! fakesink"
    )
    assert links_of(pipeline, tmp_path, home) == {
        ("videotestsrc0", "t"),
        ("t", "queue0"),
        ("t", "queue1"),
        ("queue0", "a/first"),
        ("a/first", "a/b/second"),
        ("a/b/second", "fakesink0"),
        ("queue1", "fakesink1"),
    }


def test_data_that_is_pulled_goes_the_same_way(tmp_path: Path) -> None:
    movie = make_movie(tmp_path)
    pipeline = f"filesrc location={movie} ! qtdemux ! h264parse ! avdec_h264 ! fakesink"
    assert links_of(pipeline, tmp_path) == {
        ("filesrc0", "qtdemux0"),
        ("qtdemux0", "h264parse0"),
        ("h264parse0", "avdec_h264-0"),
        ("avdec_h264-0", "fakesink0"),
    }


def test_a_decoder_that_asks_its_peers_while_it_is_locked(tmp_path: Path) -> None:
    """libav's decoder holds its own object lock while it asks who is upstream: who then names it waits for ever."""
    movie = make_movie(tmp_path)
    needs_gstreamer("decodebin")
    found = links_of(
        f"filesrc location={movie} ! decodebin name=d ! video/x-raw ! videoconvert ! fakesink",
        tmp_path,
    )
    ends = {
        ("filesrc0", "d/typefind"),
        ("d/typefind", "d/qtdemux0"),
        ("videoconvert0", "fakesink0"),
    }
    assert ends <= found
    # Each element but the first gets data from one other here.
    assert len({sink for _, sink in found}) == len(found)
    [source] = {source for source, _ in found} - {sink for _, sink in found}
    assert source == "filesrc0"


def test_elements_that_no_data_reaches_are_linked_to_nothing(tmp_path: Path) -> None:
    pipeline = (
        "input-selector name=s ! fakesink videotestsrc num-buffers=5 ! s.sink_0"
        " fakesrc num-buffers=0 ! identity ! fakesink"
    )
    found = links_of(pipeline, tmp_path)
    assert found == {("videotestsrc0", "s"), ("s", "fakesink0")}
