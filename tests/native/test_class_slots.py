# SPDX-License-Identifier: MIT
"""csrc/shim/names/vtable_slots.c against GStreamer's own headers: each slot stands where the table says.

Context: tests.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

TABLE = Path(__file__).parents[2] / "csrc" / "shim" / "names" / "vtable_slots.c"
HEADERS = {
    "gstreamer-1.0": ["gst/gst.h"],
    "gstreamer-base-1.0": ["gst/base/base.h"],
    "gstreamer-video-1.0": ["gst/video/video.h", "gst/video/gstvideoaggregator.h"],
    "gstreamer-audio-1.0": ["gst/audio/audio.h", "gst/audio/gstaudioaggregator.h"],
    "gstreamer-rtp-1.0": ["gst/rtp/rtp.h"],
    "gstreamer-tag-1.0": ["gst/tag/tag.h"],
    "gstreamer-pbutils-1.0": ["gst/pbutils/gstaudiovisualizer.h"],
}
PLUGINS_BASE = ("GstVideo", "GstAudio", "GstRTP", "GstTag")
PARENTS = {
    "GObject": "GTypeClass",
    "GstObject": "GObjectClass",
    "GstElement": "GstObjectClass",
    "GstPad": "GstObjectClass",
    "GstAggregatorPad": "GstPadClass",
    "GstPushSrc": "GstBaseSrcClass",
    "GstVideoFilter": "GstBaseTransformClass",
    "GstVideoSink": "GstBaseSinkClass",
    "GstVideoAggregator": "GstAggregatorClass",
    "GstVideoAggregatorPad": "GstAggregatorPadClass",
    "GstVideoAggregatorConvertPad": "GstVideoAggregatorPadClass",
    "GstAudioFilter": "GstBaseTransformClass",
    "GstAudioBaseSink": "GstBaseSinkClass",
    "GstAudioBaseSrc": "GstPushSrcClass",
    "GstAudioSink": "GstAudioBaseSinkClass",
    "GstAudioSrc": "GstAudioBaseSrcClass",
    "GstAudioAggregator": "GstAggregatorClass",
    "GstAudioAggregatorPad": "GstAggregatorPadClass",
}


def rows() -> dict[str, list[str]]:
    text = TABLE.read_text(encoding="utf-8").partition("g_classes[] = {")[2].partition("\n};")[0]
    found = re.findall(r'\{\s*"(\w+)",\s*\{([^}]*)\}\s*\}', text)
    return {name: re.findall(r'"(\w*)"', slots) for name, slots in found}


def flags(packages: list[str]) -> list[str]:
    done = subprocess.run(
        ["pkg-config", "--cflags", *packages], capture_output=True, text=True, check=False
    )
    return done.stdout.split() if done.returncode == 0 else []


def test_slots_stand_where_the_headers_have_them(tmp_path: Path):
    table = rows()
    assert {"GObject", "GstElement", "GstBaseTransform", "GstVideoEncoder"} <= set(table)
    packages = [name for name in HEADERS if flags([name])]
    if "gstreamer-video-1.0" not in packages:
        table = {name: slots for name, slots in table.items() if not name.startswith(PLUGINS_BASE)}
    lines = ["#define GST_USE_UNSTABLE_API", "#include <stddef.h>"]
    lines += [f"#include <{header}>" for name in packages for header in HEADERS[name]]
    for name, slots in table.items():
        parent = PARENTS.get(name, "GstElementClass")
        lines += [
            f"_Static_assert (offsetof ({name}Class, {slot}) == sizeof ({parent}) + {index * 8}"
            f', "{name}.{slot}");'
            for index, slot in enumerate(slots)
            if slot
        ]
    check(lines, packages, tmp_path)


def test_formats_are_described_as_the_headers_say(tmp_path: Path):
    packages = [name for name in ("gstreamer-video-1.0", "gstreamer-audio-1.0") if flags([name])]
    if len(packages) < 2:
        pytest.skip("no headers of the base plugins here")
    text = (TABLE.parent / "names_formats.c").read_text(encoding="utf-8")
    found = re.findall(r'"(Gst\w+FormatInfo)", (\d+), (\d+)', text)
    assert len(found) == 2
    lines = [f"#include <{header}>" for name in packages for header in HEADERS[name]]
    for info, unpack, pack in found:
        for slot, offset in (("unpack_func", unpack), ("pack_func", pack)):
            lines.append(
                f'_Static_assert (offsetof ({info}, {slot}) == {offset}, "{info}.{slot}");'
            )
    check(lines, packages, tmp_path)


def check(lines: list[str], packages: list[str], tmp_path: Path) -> None:
    source = tmp_path / "slots.c"
    source.write_text("\n".join(lines), encoding="utf-8")
    subprocess.run(["cc", "-fsyntax-only", *flags(packages), str(source)], check=True)
