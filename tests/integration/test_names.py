# SPDX-License-Identifier: MIT
"""Names of functions in stacks of real pipelines, from the distribution's stripped plugins, without debug packages.

Context: tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim.pprof.decode import decode
from tests.support.hosts import gst_launch, needs_gstreamer, profile

if TYPE_CHECKING:
    from gst_pyro_shim.pprof.model import Sample

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


CHAINS = {
    "capsfilter0": "gst_base_transform_chain",
    "videoconvert0": "gst_base_transform_chain",
    "videoscale0": "gst_base_transform_chain",
    "capsfilter1": "gst_base_transform_chain",
    "x264enc0": "gst_video_encoder_chain",
}


def test_elements_stand_between_the_push_and_their_own_chain_function(samples: list[Sample]):
    met = set()
    for sample in samples:
        stack = sample.frames[::-1]
        for at, frame in enumerate(stack[:-1]):
            if frame.kind == "native" and stack[at + 1].name in CHAINS.values():
                pytest.fail(
                    f"no element before {stack[at + 1].name}: {[one.name for one in stack]}"
                )
            if frame.kind != "element" or stack[at + 1].name not in CHAINS.values():
                continue
            assert stack[at + 1].name == CHAINS[frame.name]
            before = at - 1
            while (
                stack[before].name != "gst_pad_push"
            ):  # of the element before; then GStreamer's own
                assert "libgstreamer-1.0" in stack[before].module
                before -= 1
            met.add(frame.name)
    assert {"videoconvert0", "videoscale0", "x264enc0"} <= met


def test_encoding_stands_below_the_elements_functions(samples: list[Sample]):
    stacks = [[frame.name for frame in sample.frames[::-1]] for sample in samples]
    encoding = [names_ for names_ in stacks if "gst_x264_enc_handle_frame" in names_]
    assert encoding
    for names_ in encoding:
        at = names_.index("x264enc0")
        assert names_.index("gst_video_encoder_chain") == at + 1
        assert names_.index("gst_x264_enc_handle_frame") > at + 1
    assert any(name.startswith(("libx264.", "x264_")) for names_ in encoding for name in names_)


def test_worker_threads_belong_to_their_element_from_their_entry_on(samples: list[Sample]):
    workers = [
        sample.frames[::-1]
        for sample in samples
        if ("element", "x264enc0") in sample.labels
        and [frame.name for frame in sample.frames if frame.kind == "element"] == ["x264enc0"]
        and any("libx264" in frame.module for frame in sample.frames)
    ]
    assert workers
    for stack in workers:
        at = next(index for index, frame in enumerate(stack) if frame.name == "x264enc0")
        assert all("libc." in frame.module for frame in stack[:at]), [one.name for one in stack]
        assert "libx264" in stack[at + 1].module
