# SPDX-License-Identifier: MIT
"""Names of functions in stacks of real pipelines, from the distribution's stripped plugins, without debug packages.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.profile import decode
from tests.hosts import gst_launch, needs_gstreamer, profile

if TYPE_CHECKING:
    from gst_pyro_shim.model import Sample

pytestmark = pytest.mark.integration

PIPELINE = (
    "videotestsrc num-buffers=150 ! video/x-raw,width=1280,height=720,format=RGB ! videoconvert ! videoscale"
    " ! video/x-raw,width=640,height=360,format=I420 ! x264enc ! h264parse ! fakesink"
)


@pytest.fixture(scope="module", params=["embedded", "process"])
def samples(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Sample]:
    """Of one run, with many samples."""
    needs_gstreamer("x264enc", "h264parse")
    folder = tmp_path_factory.mktemp("names")
    done, _ = profile(gst_launch(PIPELINE), folder, home=request.param, sample_rate="500")
    assert done.status == 0, done.err
    (output,) = folder.glob("*.pb.gz")
    return decode(output.read_bytes()).samples


def names(samples: list[Sample], element: str) -> set[str]:
    """Of all functions in the stacks of this element's samples."""
    return {
        frame.name
        for sample in samples
        if ("element", element) in sample.labels
        for frame in sample.frames
        if frame.kind == "native"
    }


def test_functions_registered_for_debugging_are_named(samples: list[Sample]):
    assert {
        "gst_base_transform_chain",
        "gst_video_filter_transform",
        "gst_video_convert_scale_transform_frame",
    } <= names(samples, "videoconvert0")
    assert {"gst_video_encoder_chain", "gst_x264_enc_handle_frame"} <= names(samples, "x264enc0")


def test_slots_of_classes_name_what_is_not_registered(samples: list[Sample]):
    # create() is what GstBaseSrc's own class has; fill() is set by the element's class, without a registered name.
    assert "GstVideoTestSrc.fill" in names(samples, "videotestsrc0")


def test_orc_kernels_are_named_by_their_programs(samples: list[Sample]):
    found = names(samples, "videoconvert0") | names(samples, "videoscale0")
    assert [name for name in found if name.startswith("orc: video_orc_")]


def test_every_frame_has_a_name_and_none_is_a_raw_address(samples: list[Sample]):
    frames = {frame for sample in samples for frame in sample.frames}
    assert all(frame.name for frame in frames)
    assert not [frame.name for frame in frames if frame.name.startswith("0x")]


def test_functions_of_formats_are_named(samples: list[Sample]):
    found = names(samples, "videoconvert0") | names(samples, "videoscale0")
    assert [name for name in found if name.startswith("GstVideoFormatInfo.")]
