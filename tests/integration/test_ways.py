# SPDX-License-Identifier: MIT
"""The three ways in show the same elements for the same pipeline, in both homes.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import (
    HOMES,
    SYSTEM_PYTHON,
    TARGETS,
    WAYS,
    Report,
    compile_plugin,
    gst_launch,
    needs_gstreamer,
    profile,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

CODEC = (
    "videotestsrc num-buffers=120 ! video/x-raw,width=640,height=360 ! videoconvert ! x264enc"
    " ! h264parse ! avdec_h264 ! videoconvert ! fakesink"
)
# Elements that burn set amounts: on their streaming thread, on threads of their own, in a GLib pool.
BURNERS = (
    "fakesrc num-buffers=150 ! cpuburn name=stream cpu-us=2000 ! queue"
    " ! cpuburn name=threads cpu-us=4000 where=threads threads=2"
    " ! cpuburn name=pool cpu-us=2000 where=pool threads=2 ! fakesink"
)
SHARES = {"stream": 0.25, "threads": 0.5, "pool": 0.25}


def launch_with(plugins: Path, pipeline: str, way: str) -> list[str]:
    """A gst-launch that finds plugins of the test's own, whichever folder variable the way in uses."""
    folders = f"{plugins}:{paths.plugin_dir()}" if way == "plugin" else str(plugins)
    return ["env", f"GST_PLUGIN_PATH_1_0={folders}", *gst_launch(pipeline)]


@pytest.mark.measured
@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_shows_the_same_shares(
    way: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a point of what was burned, hence within two of each other."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    compile_plugin("gstcpuburn.c", plugins)
    done, report = profile(launch_with(plugins, BURNERS, way), tmp_path, way=way, home=home)
    assert done.status == 0, done.err
    whole_s = sum(report.self_s(name) for name in SHARES)
    for name, share in SHARES.items():
        assert report.self_s(name) / whole_s == pytest.approx(share, abs=0.01), name


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Report]:
    """The codec pipeline in each way and home."""
    needs_gstreamer("x264enc", "avdec_h264")
    folder = tmp_path_factory.mktemp("ways")
    found = {}
    for way in WAYS:
        for home in HOMES:
            done, report = profile(gst_launch(CODEC), folder, way=way, home=home)
            assert done.status == 0, done.err
            found[way, home] = report
    return found


def test_workers_belong_to_their_codecs_in_each_way(reports: dict[tuple[str, str], Report]) -> None:
    for key, report in reports.items():
        assert report.elements["/pipeline0/x264enc0"]["threads"] >= 3, key
        assert report.elements["/pipeline0/avdec_h264-0"]["threads"] >= 2, key
        assert report.self_s("[other threads]") < 0.02 * report.data["accounted_cpu_s"], key


def test_accounts_sum_up_to_the_process(reports: dict[tuple[str, str], Report]) -> None:
    for key, report in reports.items():
        accounted, process = report.data["accounted_cpu_s"], report.data["process_cpu_s"]
        assert accounted == pytest.approx(process, rel=0.01), key
        assert report.self_s("[unseen threads]") < 0.01 * process, key


def test_the_encoder_leads(reports: dict[tuple[str, str], Report]) -> None:
    for key, report in reports.items():
        elements = [row for row in report.data["elements"] if row["factory"]]
        assert max(elements, key=lambda row: row["self_cpu_s"])["name"] == "x264enc0", key


@pytest.mark.parametrize("way", WAYS)
def test_pygobject_program_shows_its_elements(way: str, tmp_path: Path) -> None:
    needs_gstreamer("appsink", "x264enc")
    done, report = profile([SYSTEM_PYTHON, str(TARGETS / "appsink_app.py")], tmp_path, way=way)
    assert (done.status, done.out) == (0, "eos 60\n"), done.err
    # The callback burns 5 ms for each of 60 buffers, on the streaming thread, in the appsink.
    assert report.self_s("sink") == pytest.approx(0.3, rel=0.25)
    assert report.elements["/pipeline0/enc"]["factory"] == "x264enc"
    assert report.data["accounted_cpu_s"] == pytest.approx(report.data["process_cpu_s"], rel=0.01)


@pytest.mark.parametrize("way", WAYS)
def test_gst_launch_with_a_python_element(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "plugins" / "python"
    plugins.mkdir(parents=True)
    (plugins / "burner.py").write_text((TARGETS / "python_element.py").read_text())
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    pipeline = "videotestsrc num-buffers=40 ! pyburner name=burner ! fakesink"
    command = launch_with(plugins.parent, pipeline, way)
    done, report = profile(command, tmp_path, way=way)
    assert done.status == 0, done.err
    # 5 ms for each of 40 buffers.
    assert report.self_s("burner") == pytest.approx(0.2, rel=0.25)
