# SPDX-License-Identifier: MIT
"""The three ways in show the same elements for the same pipeline, in both homes.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts import (
    HOMES,
    SYSTEM_PYTHON,
    TARGETS,
    WAYS,
    Report,
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
# The stretches that are measured here differ between two runs of the very same program by their caches' state.
SHARE_TOLERANCE = 0.02
COMPARED = ("x264enc0", "avdec_h264-0", "videotestsrc0")


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


def codec_share(report: Report, name: str) -> float:
    """Of the pipeline's elements alone: what runs beside them (start-up, agent) differs by way and home."""
    rows = [row for row in report.data["elements"] if row["factory"]]
    return report.self_s(name) / sum(float(row["self_cpu_s"]) for row in rows)


def test_each_way_shows_the_same_shares(reports: dict[tuple[str, str], Report]) -> None:
    for name in COMPARED:
        shares = {key: codec_share(report, name) for key, report in reports.items()}
        assert max(shares.values()) - min(shares.values()) < 2 * SHARE_TOLERANCE, (name, shares)


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
    registry = tmp_path / "registry.bin"
    monkeypatch.setenv("GST_REGISTRY", str(registry))
    launch = gst_launch("videotestsrc num-buffers=40 ! pyburner name=burner ! fakesink")
    command = ["env", f"GST_PLUGIN_PATH_1_0={plugins.parent}", *launch]
    if way == "plugin":
        from gst_pyro_shim import paths

        command[1] += f":{paths.plugin_dir()}"
    done, report = profile(command, tmp_path, way=way)
    assert done.status == 0, done.err
    # 5 ms for each of 40 buffers.
    assert report.self_s("burner") == pytest.approx(0.2, rel=0.25)
