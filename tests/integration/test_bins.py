# SPDX-License-Identifier: MIT
"""Bins that work themselves: their threads, tasks and own pads are theirs, as elements.

Context: tests.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    clean_environment,
    gst_launch,
    needs_gstreamer,
    profile,
)

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
