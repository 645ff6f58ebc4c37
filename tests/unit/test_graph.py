# SPDX-License-Identifier: MIT
"""views/graph.py: the picture, as Graphviz itself reads it.

Context: test.
"""

import json
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings

from gst_pyro_shim import cli
from gst_pyro_shim.errors import GstPyroError, ProfileFormatError
from gst_pyro_shim.pprof import files, pad_links
from gst_pyro_shim.pprof.model import Profile, Sample, element_frame
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.segment.rows import Label
from gst_pyro_shim.views import graph
from gst_pyro_shim.views.element_paths import settled_links
from gst_pyro_shim.views.summary import summarize
from tests.support import profiles

FAILED = GstPyroError.exit_code
SRC = Label("videotestsrc0", "videotestsrc", "/pipeline0/videotestsrc0")
X264 = Label("x264enc0", "x264enc", "/pipeline0/x264enc0")
SINK = Label("fakesink0", "fakesink", "/pipeline0/bin0/fakesink0")


def dot(profile):
    return graph.dot(summarize(profile), settled_links(profile))


def linked(profile, *told):
    return replace(profile, comments=[*profile.comments, pad_links.to_comment(told)])


@pytest.fixture
def demo():
    return linked(profiles.demo(), (SRC, X264), (X264, SINK))


@pytest.fixture
def demo_file(tmp_path, demo):
    file = tmp_path / "run.pb.gz"
    files.write(file, demo, force=False)
    return file


class Drawn:
    """What Graphviz made of it: labels and colours of nodes, arrows, and who is in which bin."""

    def __init__(self, text):
        done = subprocess.run(
            ["dot", "-Tjson0"], input=text.encode(), capture_output=True, timeout=60, check=True
        )
        assert done.stderr == b""
        told = json.loads(done.stdout)
        objects = told.get("objects", [])
        self.nodes = {
            one["tooltip"].partition("\\l")[0]: one for one in objects if "nodes" not in one
        }
        by_number = {one["_gvid"]: path for path, one in self.nodes.items()}
        self.arrows = {
            (by_number[one["tail"]], by_number[one["head"]]) for one in told.get("edges", [])
        }
        self.bins = {
            one["label"].partition("  ")[0]: {by_number[number] for number in one["nodes"]}
            for one in objects
            if "nodes" in one
        }
        self.footer = told["label"]


def test_elements_with_their_cpu_time_and_links(demo):
    drawn = Drawn(dot(demo))
    assert set(drawn.nodes) == {SRC.path, X264.path, SINK.path}
    assert drawn.arrows == {(SRC.path, X264.path), (X264.path, SINK.path)}
    for path, cost in {X264.path: "2.000 s  66.7 %", SRC.path: "0.900 s  30.0 %"}.items():
        assert cost in drawn.nodes[path]["label"]
    assert "0.000 s  0.0 %" in drawn.nodes[SINK.path]["label"]


def test_bins_hold_their_elements_and_tell_their_sum(demo):
    text = dot(demo)
    drawn = Drawn(text)
    assert drawn.bins == {"pipeline0": {SRC.path, X264.path, SINK.path}, "bin0": {SINK.path}}
    assert "pipeline0  2.900 s  96.7 %" in text


def test_all_of_the_time_is_told(demo):
    footer = Drawn(dot(demo)).footer
    assert "3.000 s CPU" in footer
    assert "in no element  0.100 s  3.3 %: [main thread] 0.100 s  3.3 %" in footer


def test_who_costs_more_is_redder(demo):
    nodes = Drawn(dot(demo)).nodes
    assert nodes[SINK.path]["fillcolor"] == "white"
    src, x264 = (int(nodes[one.path]["fillcolor"].removeprefix("/ylorrd9/")) for one in (SRC, X264))
    assert 1 <= src < x264 <= 9


def test_what_a_pipeline_was_called_before_is_told_as_a_sum(demo):
    early = element_frame("x264enc0", "x264enc", "/old/x264enc0")
    labels = profiles.labels("x264enc0", "x264enc")

    def with_early(cpu_ns):
        return replace(demo, samples=[*demo.samples, Sample((early,), cpu_ns, 0, labels)])

    drawn = Drawn(dot(with_early(10_000_000)))
    assert early.path not in drawn.nodes
    assert "not drawn  0.010 s  0.3 %: 1 elements" in drawn.footer
    assert early.path in Drawn(dot(with_early(100_000_000))).nodes
    alone = replace(with_early(10_000_000), comments=profiles.demo().comments)
    assert early.path in Drawn(dot(alone)).nodes


def test_what_is_in_no_pipeline_is_drawn_too():
    alone = element_frame("a", "identity", "/a")
    profile = Profile(0, 1, 1, [Sample((alone,), 5, 1, profiles.labels("a", "identity"))])
    assert set(Drawn(dot(profile)).nodes) == {"/a"}


@settings(max_examples=25, deadline=None)
@given(profiles.elements.filter(lambda one: bool(one.factory)))
def test_no_name_gets_out_of_its_place(frame):
    told = Label(frame.name, frame.factory, frame.path)
    profile = linked(Profile(0, 1, 1, [Sample((frame,), 5, 1)]), (told, X264))
    drawn = Drawn(dot(profile))
    assert len(drawn.nodes) == 2
    assert len(drawn.arrows) == 1


@pytest.mark.parametrize(
    "name", ['"]; x [', "<B>", "&amp;", "\\", "\\l", "\x1b[31m", "\udcff", "a\nb"]
)
def test_hostile_names(name):
    told = Label(name, "identity", f"/pipeline0/{name}")
    text = dot(linked(Profile(0, 1, 1), (told, X264)))
    drawn = Drawn(text.encode("utf-8", "backslashreplace").decode())
    assert len(drawn.nodes) == 2
    assert set(drawn.bins) == {"pipeline0"}


@pytest.mark.parametrize(
    ("suffix", "head"),
    [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".dot", b"digraph")],
)
def test_the_files_name_says_what_to_draw(demo_file, capsys, suffix, head):
    output = demo_file.with_name(f"picture{suffix}")
    assert cli.main(["graph", str(demo_file), "-o", str(output)]) == 0
    assert output.read_bytes().startswith(head)
    assert output.stat().st_mode & 0o077 == 0
    assert capsys.readouterr() == (f"{output}\n", "")


def test_beside_the_profile_unless_told(demo_file):
    assert cli.main(["graph", str(demo_file)]) == 0
    assert demo_file.with_name("run.svg").exists()


def test_an_existing_picture_is_kept(demo_file, capsys):
    output = demo_file.with_name("run.svg")
    output.write_text("mine")
    assert cli.main(["graph", str(demo_file)]) == FAILED
    assert "File already exists" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert cli.main(["graph", "--force", str(demo_file)]) == 0


def test_an_unknown_kind_is_refused(demo_file, capsys):
    output = demo_file.with_name("picture.jpg")
    assert cli.main(["graph", str(demo_file), "-o", str(output)]) == FAILED
    assert ".svg, .png, .pdf, or with .dot" in capsys.readouterr().err
    assert not output.exists()


def test_without_graphviz_it_is_said_what_to_do(demo_file, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert cli.main(["graph", str(demo_file)]) == FAILED
    err = capsys.readouterr().err
    assert "apt install graphviz" in err
    assert "-o FILE.dot" in err
    assert not demo_file.with_name("run.svg").exists()
    assert cli.main(["graph", str(demo_file), "-o", str(demo_file.with_name("run.dot"))]) == 0


def test_a_graphviz_that_fails_is_quoted(demo_file, capsys, monkeypatch, tmp_path):
    (tmp_path / "dot").write_text("#!/bin/sh\necho 'out of paper' >&2\nexit 3\n")
    (tmp_path / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert cli.main(["graph", str(demo_file)]) == FAILED
    assert "Graphviz could not draw the graph: out of paper" in capsys.readouterr().err


def test_a_profile_without_links_says_so(tmp_path, capsys):
    file = tmp_path / "old.pb.gz"
    files.write(file, profiles.demo(), force=False)
    assert cli.main(["graph", str(file)]) == 0
    assert "No arrows" in capsys.readouterr().err


def test_an_empty_one_says_why(tmp_path, capsys):
    file = tmp_path / "empty.pb.gz"
    facts = RunFacts(program="true", end="ended with status 0", preload_ignored="is set-user-ID")
    files.write(file, Profile(0, 0, 0, [], [facts.to_comment()]), force=False)
    assert cli.main(["graph", str(file)]) == 0
    assert "Nothing was sampled" in capsys.readouterr().err


def test_a_profile_of_another_tool_is_refused(tmp_path, capsys):
    file = tmp_path / "other.pb.gz"
    files.write(file, replace(profiles.demo(), comments=[]), force=False)
    assert cli.main(["graph", str(file)]) == ProfileFormatError.exit_code
    assert "that gst-pyro-shim did not write" in capsys.readouterr().err
    assert not file.with_name("other.svg").exists()
