# SPDX-License-Identifier: MIT
"""Whose CPU is it: bins in bins, ghost pads, namesakes, depth, pull mode, pipelines that change while they run.

Context: tests.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    SYSTEM_PYTHON,
    clean_environment,
    compile_host,
    compile_plugin,
    gst_launch,
    needs_gstreamer,
    profile,
    run,
)
from tests.support.pprof_reader import inflate, parse_pprof

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_namesakes_in_different_bins_are_told_apart(tmp_path: Path) -> None:
    bins = "bin.( name=a videoconvert name=work ! video/x-raw,format=I420 ! identity )"
    launch = gst_launch(
        "videotestsrc num-buffers=40 ! video/x-raw,width=320,height=240,format=RGB ! "
        f"{bins} ! {bins.replace('name=a', 'name=b').replace('I420', 'RGB')} ! fakesink"
    )
    done, report = profile(launch, tmp_path)
    assert done.status == 0, done.err
    paths = {"/pipeline0/a/work", "/pipeline0/b/work"}
    assert paths <= set(report.elements)
    assert all(report.elements[path]["name"] == "work" for path in paths)
    # Ghost and proxy pads carry no label: nothing but elements and what is named in brackets.
    assert all(row["factory"] or row["name"].startswith("[") for row in report.data["elements"])


def test_total_of_an_element_holds_what_it_calls(tmp_path: Path) -> None:
    launch = gst_launch(
        "videotestsrc num-buffers=100 ! video/x-raw,width=1280,height=720,format=RGB ! identity"
        " ! videoconvert ! video/x-raw,format=I420 ! fakesink"
    )
    _, report = profile(launch, tmp_path)
    rows = report.elements
    identity, convert = rows["/pipeline0/identity0"], rows["/pipeline0/videoconvert0"]
    assert identity["self_cpu_s"] < 0.1 * convert["self_cpu_s"]
    assert identity["total_cpu_s"] >= 0.8 * convert["self_cpu_s"]
    assert rows["/pipeline0/videotestsrc0"]["total_cpu_s"] >= 0.9 * (
        convert["self_cpu_s"] + rows["/pipeline0/videotestsrc0"]["self_cpu_s"]
    )


def test_a_thousand_elements_in_one_thread(tmp_path: Path) -> None:
    program = compile_host("deep.c", tmp_path)
    done, report = profile([str(program), "1000"], tmp_path)
    assert done.status == 0, done.err
    identities = [row for row in report.data["elements"] if row["factory"] == "identity"]
    assert len(identities) == 1000
    assert report.data["accounted_cpu_s"] == pytest.approx(report.data["process_cpu_s"], rel=0.01)
    stacks = report.data["stacks"]
    assert stacks["truncated"] <= 0.01 * report.data["samples"] + 1


def test_pipeline_that_is_relinked_under_load(tmp_path: Path) -> None:
    program = compile_host("relinks.c", tmp_path)
    done, report = profile([str(program)], tmp_path)
    assert (done.status, done.out) == (0, "relinked\n"), done.err
    assert report.data["accounted_cpu_s"] == pytest.approx(report.data["process_cpu_s"], rel=0.02)


def make_movie(tmp_path: Path) -> Path:
    needs_gstreamer("x264enc", "avdec_h264", "qtmux", "qtdemux")
    movie = tmp_path / "movie.mp4"
    made = run(
        gst_launch(
            "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=240 ! x264enc ! qtmux"
            f" ! filesink location={movie}"
        ),
        clean_environment(),
    )
    assert made.status == 0, made.err
    return movie


def test_pull_mode_and_demuxers_without_stream_status(tmp_path: Path) -> None:
    movie = make_movie(tmp_path)
    done, report = profile(
        gst_launch(f"filesrc location={movie} ! decodebin ! videoconvert ! fakesink"), tmp_path
    )
    assert done.status == 0, done.err
    decoders = [row for row in report.data["elements"] if row["factory"] == "avdec_h264"]
    demuxers = [row for row in report.data["elements"] if row["factory"] == "qtdemux"]
    assert decoders[0]["self_cpu_s"] > 0
    assert demuxers[0]["path"].startswith("/pipeline0/decodebin0/")
    assert report.self_s("[GStreamer task]") < 0.03 * report.data["accounted_cpu_s"]


def owners_of_threads(output: Path) -> Counter[str]:
    """How many threads have done nothing but one element's work, by its factory."""
    pprof = parse_pprof(inflate(output.read_bytes()))
    met: dict[int, set[str]] = {}
    for sample in pprof.samples:
        labels = {pprof.text(key): (text, number) for key, text, number in sample.labels}
        factory = pprof.text(labels.get("factory", (0, 0))[0])
        if "tid" in labels:  # [unseen threads] are those that nobody met
            met.setdefault(labels["tid"][1], set()).add(factory)
    return Counter(next(iter(factories)) for factories in met.values() if len(factories) == 1)


@pytest.mark.parametrize("bin_", ["decodebin", "decodebin3"])
def test_a_decoder_in_a_bin_keeps_its_threads(bin_: str, tmp_path: Path) -> None:
    """The bin hands it the caps upon which it makes them, from a thread that does others' work."""
    needs_gstreamer(bin_)
    movie = make_movie(tmp_path)
    play = gst_launch(f"filesrc location={movie} ! {bin_} ! fakesink")
    done, _ = profile(play, tmp_path)
    assert done.status == 0, done.err
    owners = owners_of_threads(tmp_path / "preload-auto.pb.gz")
    if len(os.sched_getaffinity(0)) > 1:
        assert owners["avdec_h264"] >= 2, owners
    assert not owners.keys() & {"capsfilter", "multiqueue"}, owners


TWO_PIPELINES = """
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
pipelines = [Gst.parse_launch(
    f"fakesrc num-buffers={100 * (i + 1)} ! cpuburn name=work cpu-us=2000 ! fakesink") for i in range(2)]
for i, pipeline in enumerate(pipelines):
    pipeline.set_name("pipe" + str(i)); pipeline.set_state(Gst.State.PLAYING)
for pipeline in pipelines:
    pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS); pipeline.set_state(Gst.State.NULL)
"""


def test_two_pipelines_in_one_process(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    compile_plugin("gstcpuburn.c", plugins)
    registry = tmp_path / "registry.bin"
    env = ["/usr/bin/env", f"GST_PLUGIN_PATH={plugins}", f"GST_REGISTRY={registry}"]
    _, report = profile([*env, SYSTEM_PYTHON, "-c", TWO_PIPELINES], tmp_path)
    one = report.elements["/pipe0/work"]["self_cpu_s"]
    two = report.elements["/pipe1/work"]["self_cpu_s"]
    # What a buffer burns is measured by the thread's clock, so no other thread on the processor changes it.
    assert one == pytest.approx(0.2, rel=0.05)
    assert two == pytest.approx(0.4, rel=0.05)


AGENT_STAYS = """
import gi, time
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
Gst.deinit()
start = time.thread_time()
while time.thread_time() - start < 0.5:
    pass
print(start)
"""


@pytest.mark.parametrize("stop", ["true", "false"])
def test_stop_agent_on_dispose(stop: str, tmp_path: Path) -> None:
    """What runs after gst_deinit() is seen only where the agent was told to stay."""
    program = [SYSTEM_PYTHON, "-c", AGENT_STAYS]
    done, report = profile(program, tmp_path, stop_agent_on_dispose=stop)
    seen_s, until_then_s = report.self_s("[main thread]"), float(done.out)
    assert seen_s < until_then_s if stop == "true" else seen_s >= 0.49
