# SPDX-License-Identifier: MIT
"""Rendering belongs to the element that asks for it: on the one thread of a GL context, and on a software renderer's.

Context: tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import gst_launch, needs_gstreamer, profile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.measured]

PIPELINE = (
    "videotestsrc num-buffers=60 ! video/x-raw,width=320,height=240 ! glupload ! glcolorconvert"
    " ! gleffects_blur name=blur ! gleffects_sobel name=sobel ! gldownload ! fakesink"
)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server of the tests' own."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("no Xvfb")
    read, write = os.pipe()
    command = [program, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as numbers:
            yield f":{numbers.readline().strip()}"
        server.terminate()


def test_effects_have_their_rendering_each(
    display: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without threads of its own the renderer works on the context's thread, amid the element's own call: the truth."""
    needs_gstreamer("gleffects_blur")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setenv("LIBGL_ALWAYS_SOFTWARE", "1")
    monkeypatch.setenv("GALLIUM_DRIVER", "llvmpipe")
    shares = []
    for threads in ("0", "3"):
        monkeypatch.setenv("LP_NUM_THREADS", threads)
        # libGL opens its driver by a bare name, and that makes its threads at once. On a busy machine the poller may
        # come too late to see them made: then they are [other threads]. It does not happen every time.
        for _ in range(5):
            done, report = profile(gst_launch(PIPELINE), tmp_path)
            assert done.status == 0, done.err
            if report.share("[other threads]") < 0.02:
                break
        effects_s = report.self_s("blur") + report.self_s("sobel")
        assert effects_s > 0.5 * report.data["accounted_cpu_s"]
        assert report.share("[other threads]") < 0.02
        shares.append(report.self_s("blur") / effects_s)
    assert 0.1 < shares[0] < 0.9
    assert shares[1] == pytest.approx(shares[0], abs=0.06)
