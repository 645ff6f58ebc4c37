# SPDX-License-Identifier: MIT
"""Bins that work themselves: their threads, tasks and own pads are theirs, as elements.

Context: tests.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    clean_environment,
    compile_host,
    gst_launch,
    needs_gstreamer,
    profile,
)
from tests.support.pprof_reader import inflate, parse_pprof

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

FRAMES = 200


@contextmanager
def rtsp_server() -> Iterator[str]:
    """An address on the loopback."""
    has_bindings = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([SYSTEM_PYTHON, "-c", has_bindings], check=False).returncode != 0:
        pytest.skip("no gir1.2-gst-rtsp-server-1.0")
    with subprocess.Popen(
        [SYSTEM_PYTHON, str(TARGETS / "rtsp_server.py"), str(FRAMES)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        try:
            yield f"rtsp://127.0.0.1:{port}/test"
        finally:
            server.stdin.close()
            server.wait(timeout=30)


def test_what_an_rtsp_client_receives_over_tcp_is_its_source_s_work(tmp_path: Path) -> None:
    needs_gstreamer("rtspsrc", "rtpvrawdepay")
    with rtsp_server() as location:
        client = f"rtspsrc location={location} protocols=tcp ! rtpvrawdepay ! fakesink"
        done, report = profile(gst_launch(client), tmp_path)
    assert done.status == 0, done.err
    [source] = [row for row in report.data["elements"] if row["factory"] == "rtspsrc"]
    assert source["name"] == "rtspsrc0"
    assert source["path"] == "/pipeline0/rtspsrc0"
    assert report.share("rtspsrc0") > 0.05
    assert report.share("[GStreamer task]") < 0.01
    assert report.share("[state change of rtspsrc0]") < 0.01


def cpu_by_thread(output: Path) -> dict[str, dict[tuple[str, str], float]]:
    """Of each thread's name: seconds by (element, pipeline)."""
    pprof = parse_pprof(inflate(output.read_bytes()))
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    for sample in pprof.samples:
        labels = {pprof.text(key): pprof.text(text) for key, text, _ in sample.labels}
        owner = labels["element"], labels.get("pipeline", "")
        found[labels["thread"]][owner] += sample.values[0] / 1e9
    return found


def test_the_threads_of_webrtcbin_are_its_own(tmp_path: Path) -> None:
    """One for its tasks, made as its state changes; one of its agent (libnice), made in its constructor."""
    # libnice's plugin has a version of its own, older than what --exists asks for.
    needs_gstreamer("webrtcbin", "--atleast-version=0.1 nicesrc", "dtlsenc", "srtpenc", "opusenc")
    done, report = profile([str(compile_host("webrtc.c", tmp_path))], tmp_path)
    assert done.out == "heard\n", done.err
    threads = cpu_by_thread(tmp_path / "preload-auto.pb.gz")
    for element, pipeline in (("caller", "near"), ("callee", "far")):
        assert report.self_s(f"[state change of {element}]") < 0.5 * report.self_s(element)
        for suffix in ("pc", "ice"):
            owners = threads[f"{element}:{suffix}"]
            # Where plugins are loaded for it stands apart. The first moments are from before its first change of state.
            own_s = sum(owners.values()) - owners.pop(("[loading plugins]", ""), 0)
            assert owners[element, pipeline] > 0.5 * own_s, (suffix, dict(owners))
