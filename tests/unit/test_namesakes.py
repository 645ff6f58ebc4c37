# SPDX-License-Identifier: MIT
"""Eight cameras of one name: each has its number in table, groups, graph, page and JSON.

The agent numbers all but the first (`/camera/enc`, `/camera#2/enc`); reports number that one too.

Context: tests.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from gst_pyro_shim import cli
from gst_pyro_shim.pprof import files, pad_links
from gst_pyro_shim.pprof.model import Profile, Sample, element_frame
from gst_pyro_shim.segment.rows import Label
from gst_pyro_shim.views import element_paths, flamegraph, report_by
from tests.support import profiles
from tests.unit.test_graph import Drawn, dot

CAMERAS = 8
SECOND_NS = 10**9


def _pipeline(number):
    return "camera" if number == 1 else f"camera#{number}"


def _sample(pipeline, name, factory, seconds, bin_name=""):
    path = f"/{pipeline}{bin_name}/{name}"
    labels = {"element": name, "factory": factory, "pipeline": pipeline, "thread": f"{name}:src"}
    if bin_name:
        labels["path"] = path
    frames = (element_frame(name, factory, path),)
    return Sample(frames, int(seconds * SECOND_NS), 1, tuple(labels.items()), tid=1)


@pytest.fixture
def cameras():
    """The fifth is the heavy one; each has a source, and an encoder in a bin."""
    samples, told = [], []
    for number in range(1, CAMERAS + 1):
        pipeline = _pipeline(number)
        samples.append(_sample(pipeline, "enc", "x264enc", 10 if number == 5 else 1, "/bin"))
        samples.append(_sample(pipeline, "src", "videotestsrc", 0.25))
        told.append(
            (
                Label("src", "videotestsrc", f"/{pipeline}/src"),
                Label("enc", "x264enc", f"/{pipeline}/bin/enc"),
            )
        )
    nobodys = (("element", "[GStreamer task]"), ("pipeline", "camera"))
    samples.append(Sample((element_frame("[GStreamer task]"),), SECOND_NS, 1, nobodys))
    comments = [profiles.stats().to_comment(), pad_links.to_comment(told)]
    return Profile(1, 2 * SECOND_NS, 10**7, samples, comments)


@pytest.fixture
def file(cameras, tmp_path):
    path = tmp_path / "cameras.pb.gz"
    files.write(path, cameras, force=False)
    return path


ENCODERS = {f"/camera#{number}/bin/enc" for number in range(1, CAMERAS + 1)}
SOURCES = {f"/camera#{number}/src" for number in range(1, CAMERAS + 1)}


def test_the_table_numbers_all_of_them(file, capsys):
    assert cli.main(["report", str(file)]) == 0
    rows = dict(
        re.findall(r"^ ?(/camera\S+) +\S+ +([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    )
    assert rows.keys() == ENCODERS | SOURCES
    assert [path for path, cpu in rows.items() if cpu == "10.000"] == ["/camera#5/bin/enc"]


def test_json_numbers_all_of_them(file, capsys):
    assert cli.main(["report", "--json", str(file)]) == 0
    rows = json.loads(capsys.readouterr().out)["elements"]
    assert {row["path"] for row in rows if row["path"]} == ENCODERS | SOURCES
    assert {row["name"] for row in rows} == {"enc", "src", "[GStreamer task]"}


def test_groups_by_pipeline_number_all_of_them(cameras):
    found = {one.value: one.cpu_ns for one in report_by.group(cameras, "pipeline")}
    assert found.keys() == {f"camera#{number}" for number in range(1, CAMERAS + 1)}
    # The first has what is of no element too.
    assert found["camera#1"] == 2.25 * SECOND_NS
    assert found["camera#5"] == 10.25 * SECOND_NS


def test_the_graph_has_a_box_for_each_with_its_own_links(cameras):
    text = dot(cameras)
    drawn = Drawn(text)
    assert drawn.nodes.keys() == ENCODERS | SOURCES
    assert drawn.arrows == {
        (f"/camera#{number}/src", f"/camera#{number}/bin/enc") for number in range(1, CAMERAS + 1)
    }
    assert drawn.bins["camera#5"] == {"/camera#5/src", "/camera#5/bin/enc"}
    assert "camera#5  10.250 s" in text


def test_the_page_names_each(cameras):
    page = flamegraph.page(cameras, "x")
    data = json.loads(re.search(r'type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    names = {name for name, kind, factory, _ in data["frames"] if kind == "element" and factory}
    assert names == ENCODERS | SOURCES


def test_one_of_its_name_has_no_number(cameras):
    alone = replace(
        cameras, samples=[one for one in cameras.samples if ("pipeline", "camera#2") in one.labels]
    )
    alone = replace(alone, comments=alone.comments[:1])
    paths = {frame.path for one in element_paths.settled(alone).samples for frame in one.frames}
    assert paths == {"/camera#2/bin/enc", "/camera#2/src"}
    first = replace(cameras, samples=cameras.samples[:2], comments=[profiles.stats().to_comment()])
    assert element_paths.settled(first) is first


def test_elements_in_one_bin_have_theirs_too():
    samples = [
        Sample((element_frame("q", "queue", path),), SECOND_NS, 1)
        for path in ("/p/q", "/p/q#2", "/p/q#10", "/p/x#y", "/p/z#1")
    ]
    profile = Profile(1, 2, 3, samples, [profiles.stats().to_comment()])
    drawn = Drawn(dot(profile))
    assert {"/p/q#1", "/p/q#2", "/p/q#10"} < drawn.nodes.keys()
    assert "<B>q#2</B>" in dot(profile)
    again = element_paths.settled(element_paths.settled(profile))
    assert again == element_paths.settled(profile)
