# SPDX-License-Identifier: MIT
"""Frames that are left to a server's symbolizer: how they are encoded, read back, and who gets them.

Context: test.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode, split
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.model import UNKNOWN, Frame, Profile, Sample, element_frame, identity
from gst_pyro_shim.pprof.schema import PprofProfile
from gst_pyro_shim.push import delivery
from gst_pyro_shim.settings.model import Settings
from tests.support import profiles

if TYPE_CHECKING:
    from pathlib import Path

X264 = "/usr/lib/libx264.so.164"
BUILD_ID = "0d1fe2c3"
UNNAMED = Frame("libx264.so.164+0x1f40", X264, BUILD_ID)
NAMED = Frame("x264_encoder_encode", X264, BUILD_ID)
KEPT = {
    "no build id": Frame("libx264.so.164+0x1f40", X264),
    "build id that servers refuse": Frame("libx264.so.164+0x1f40", X264, "../0d"),
    "line is known": Frame("libx264.so.164+0x1f40", X264, BUILD_ID, "cpu-a.asm", 7),
    "address 0": Frame("libx264.so.164+0x0", X264, BUILD_ID),
    "beyond 64 bits": Frame("libx264.so.164+0x1" + "0" * 16, X264, BUILD_ID),
    "name of another module": Frame("libx265.so+0x1f40", X264, BUILD_ID),
    "not as we write it": Frame("libx264.so.164+0x01f40", X264, BUILD_ID),
    "element": element_frame("libx264.so.164+0x1f40", "x264enc"),
    "marker": UNKNOWN,
}

_modules = st.sampled_from(["/usr/lib/liba.so", "/usr/lib/libb.so.1", "/opt/c", "[vdso]"])
_unnamed = st.builds(
    lambda module, address, build_id: Frame(identity(module, address), module, build_id),
    _modules,
    st.integers(0, 2**64 - 1),
    st.sampled_from(["", "00ff", "ab12"]),
)
_named = st.builds(Frame, st.sampled_from(["f", "g"]), _modules, st.sampled_from(["", "00ff"]))
_stacks = st.lists(_unnamed | _named | profiles.frames, max_size=8).map(tuple)
_profiles = st.lists(_stacks, max_size=5).map(
    lambda stacks: Profile(1, 2, 3, [Sample(one, 5, 1, (("element", "a"),)) for one in stacks])
)


def profile(*frames: Frame) -> Profile:
    return Profile(1, 2, 3, [Sample(frames, 10, 1)])


def test_what_is_left_to_the_server_is_an_address_in_a_mapping_of_its_own():
    message = PprofProfile.FromString(encode(profile(UNNAMED, NAMED), server_symbolizes=True))
    unnamed, named = message.location
    assert (unnamed.address, list(unnamed.line)) == (0x1F40, [])
    assert (named.address, len(named.line)) == (0, 1)
    mappings = {one.id: one for one in message.mapping}
    texts = message.string_table
    for location, has_functions in ((unnamed, False), (named, True)):
        mapping = mappings[location.mapping_id]
        assert mapping.has_functions is has_functions
        assert (texts[mapping.filename], texts[mapping.build_id]) == (X264, BUILD_ID)
    assert UNNAMED.name not in texts


def test_mappings_of_both_kinds_stay_apart_where_profiles_are_merged():
    # Servers and pprof take mappings of equal build id, offset and size (in pages) for one.
    message = PprofProfile.FromString(encode(profile(UNNAMED, NAMED), server_symbolizes=True))
    pages = [(one.memory_limit - one.memory_start + 0xFFF) // 0x1000 for one in message.mapping]
    assert len(set(pages)) == 2


@given(_profiles)
def test_what_is_left_to_the_server_comes_back_as_an_identity(given_profile):
    assert decode(encode(given_profile, server_symbolizes=True)) == given_profile


@given(_profiles)
def test_no_mapping_holds_both_kinds(given_profile):
    message = PprofProfile.FromString(encode(given_profile, server_symbolizes=True))
    has_functions = {one.id: one.has_functions for one in message.mapping}
    build_ids = {one.id: message.string_table[one.build_id] for one in message.mapping}
    for location in message.location:
        if location.line:
            assert has_functions.get(location.mapping_id, True)
        else:
            assert has_functions[location.mapping_id] is False
            assert build_ids[location.mapping_id]
            assert location.address


@pytest.mark.parametrize("frame", KEPT.values(), ids=KEPT)
def test_other_frames_keep_their_name(frame):
    assert encode(profile(frame, NAMED), server_symbolizes=True) == encode(profile(frame, NAMED))


def test_without_the_setting_an_identity_is_a_function_like_any_other():
    expected = PprofProfile(
        string_table=[
            *("", "cpu", "nanoseconds", "samples", "count"),
            *(X264, BUILD_ID, UNNAMED.name, NAMED.name),
        ],
        time_nanos=1,
        duration_nanos=2,
        period=3,
        default_sample_type=1,
    )
    expected.sample_type.add(type=1, unit=2)
    expected.sample_type.add(type=3, unit=4)
    expected.period_type.type, expected.period_type.unit = 1, 2
    expected.mapping.add(id=1, filename=5, build_id=6, has_functions=True, has_filenames=True)
    for number, name in ((1, 7), (2, 8)):
        expected.function.add(id=number, name=name, system_name=name)
        expected.location.add(id=number, mapping_id=1).line.add(function_id=number)
    expected.sample.add(location_id=[1, 2], value=[10, 1])
    assert encode(profile(UNNAMED, NAMED)) == expected.SerializeToString()


def test_parts_of_a_profile_are_encoded_alike():
    whole = Profile(1, 2, 3, [Sample((UNNAMED, Frame(f"f{n}")), 1, 1) for n in range(4)])
    parts = split(whole, max_samples=2, server_symbolizes=True)
    assert len(parts) == 2
    assert all(UNNAMED.name.encode() not in part for part in parts)
    assert [one for part in parts for one in decode(part).samples] == whole.samples


class FakeExporter:
    """Keeps what it is given, by URL."""

    sent: dict[str, list[bytes]]

    def __init__(self, settings, _log, **_limits):
        self.url = settings.server_url

    def warm_up(self):
        """Nothing to warm up."""

    def submit(self, data, **_):
        self.sent.setdefault(self.url, []).append(data)


@pytest.mark.parametrize("server_symbolizes", [False, True])
def test_the_server_alone_gets_addresses(
    server_symbolizes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gst_pyro_shim.push.exporter.Exporter", FakeExporter)
    monkeypatch.setattr(FakeExporter, "sent", {}, raising=False)
    output = tmp_path / "a.pb.gz"
    settings = Settings(
        server_url="http://server:4040", output=str(output), server_symbolizes=server_symbolizes
    )
    merge = Merge()
    sender = delivery.Delivery(settings, 1, lambda *_: None, merge)
    whole = profile(UNNAMED, NAMED)
    sender.deliver(whole, final=True)
    assert FakeExporter.sent == {
        "http://server:4040": [encode(whole, server_symbolizes=server_symbolizes)],
    }
    assert UNNAMED in merge.profile().samples[0].frames
    written = PprofProfile.FromString(gzip.decompress(output.read_bytes()))
    assert UNNAMED.name in written.string_table
