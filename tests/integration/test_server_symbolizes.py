# SPDX-License-Identifier: MIT
"""A run whose unnamed functions are left to the server, of which ours symbolizes nothing: CPU must stay complete.

Context: tests.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof.decode import decode
from tests.support.hosts import environment, gst_launch, needs_gstreamer, run, wait_for_profile
from tests.support.pprof_reader import parse_pprof
from tests.support.pyroscope_client import CPU_TYPE
from tests.support.pyroscope_server import PyroscopeServer

if TYPE_CHECKING:
    from pathlib import Path

    from gst_pyro_shim.pprof.model import Frame

pytestmark = pytest.mark.integration

PIPELINE = (
    "videotestsrc num-buffers=60 ! video/x-raw,width=640,height=360 ! videoconvert ! x264enc"
    " ! h264parse ! fakesink"
)


def unnamed(data: bytes) -> set[Frame]:
    return {
        frame
        for sample in decode(data).samples
        for frame in sample.frames
        if frame.address is not None and frame.build_id
    }


def test_times_stay_complete_where_the_server_does_not_symbolize(tmp_path: Path):
    needs_gstreamer("x264enc", "h264parse")
    output = tmp_path / "run.pb.gz"
    with PyroscopeServer() as server:
        env = environment(
            "preload",
            server_url=server.url,
            output=str(output),
            server_symbolizes="true",
            sample_rate="500",
            upload_interval="1",
        )
        done = run(gst_launch(PIPELINE), env)
        assert done.status == 0, done.err
        wait_for_profile(output)
        pushed = [
            raw for request in server.requests for one in request.series for _, raw in one.samples
        ]
        stacks = [stack for one in server.stored(CPU_TYPE) for stack, _ in one.stacks]
        total = server.total(CPU_TYPE)
        encoder = server.total(CPU_TYPE, element="x264enc0")
    written = output.read_bytes()
    profile = decode(written)
    assert total == sum(sample.cpu_ns for sample in profile.samples)
    assert encoder == sum(
        one.cpu_ns for one in profile.samples if ("element", "x264enc0") in one.labels
    )
    kept = unnamed(written)
    assert kept, "every function had a name; the test shows nothing"
    plain = [gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw for raw in pushed]
    assert set().union(*(unnamed(raw) for raw in plain)) == kept
    # On the wire they are addresses; a server that does not symbolize shows the rest of the stack.
    bare = {
        address
        for raw in plain
        for address, lines in parse_pprof(raw).locations.values()
        if not lines
    }
    assert bare == {frame.address for frame in kept if frame.address and not frame.file}
    left_out = {frame.name for frame in kept if frame.address and not frame.file}
    assert not [stack for stack in stacks if left_out & set(stack)]
    assert any("x264enc0" in stack for stack in stacks)
