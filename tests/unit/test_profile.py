# SPDX-License-Identifier: MIT
"""pprof/{encode,decode,model,schema}.py: pprof out and in, judged by a reader of its own and by go tool pprof.

Context: test.
"""

import contextlib
import gzip
import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import example, given, settings, strategies as st

from gst_pyro_shim.errors import ProfileFormatError
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode, split
from gst_pyro_shim.pprof.model import NO_SAMPLE, TRUNCATED, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.schema import PprofProfile, PushRequest
from tests.support import profiles
from tests.support.pprof_reader import parse_pprof


@given(profiles.profiles)
def test_what_goes_in_comes_out(profile):
    assert decode(encode(profile)) == profile


def test_gzipped_comes_out_too():
    assert decode(gzip.compress(encode(profiles.demo()))) == profiles.demo()


@given(profiles.profiles)
def test_a_second_reader_agrees(profile):
    read = parse_pprof(encode(profile))
    assert read.strings[0] == b""
    types = [tuple(map(read.text, pair)) for pair in read.sample_types]
    assert types == [("cpu", "nanoseconds"), ("samples", "count")]
    assert tuple(map(read.text, read.period_type)) == ("cpu", "nanoseconds")
    assert (read.time_ns, read.duration_ns) == (profile.start_ns, profile.duration_ns)
    assert read.period == profile.period_ns
    assert [read.text(index) for index in read.comments] == profile.comments
    assert [one.values for one in read.samples] == [[s.cpu_ns, s.samples] for s in profile.samples]
    for mine, theirs in zip(profile.samples, read.samples, strict=True):
        names = [
            read.text(read.functions[function][0])
            for location in theirs.locations
            for function in read.locations[location][1]
        ]
        assert names == [frame.name for frame in mine.frames]
    assert 0 not in read.locations
    assert 0 not in read.functions


def test_cpu_is_the_default_type_and_its_string_is_among_the_first():
    message = PprofProfile.FromString(encode(profiles.demo()))
    assert list(message.string_table[:5]) == ["", "cpu", "nanoseconds", "samples", "count"]
    assert message.default_sample_type == 1


def test_element_frames_are_known_by_their_file():
    frame = element_frame("sink0", "fakesink", "/pipeline0/bin0/sink0")
    assert frame.file == "gst-element:fakesink:/pipeline0/bin0/sink0"
    assert (frame.factory, frame.path) == ("fakesink", "/pipeline0/bin0/sink0")
    assert element_frame("[main thread]").factory == ""
    assert Frame("f", file="a:b:c").factory == ""


def test_a_function_that_is_called_like_a_marker_stays_a_function():
    frame = Frame("[unknown]", module="/usr/lib/libx.so")
    profile = Profile(1, 2, 3, [Sample((frame, NO_SAMPLE), 1, 1)])
    assert decode(encode(profile)).samples[0].frames == (frame, NO_SAMPLE)


def test_a_frame_without_name_gets_one():
    read = parse_pprof(encode(Profile(1, 2, 3, [Sample((Frame(""),), 1, 1)])))
    assert [read.text(name) for name, _ in read.functions.values()] == ["[unknown]"]


def test_text_that_is_no_utf8_is_made_such():
    bad = "caf\udce9"
    profile = Profile(1, 2, 3, [Sample((Frame(bad, file=bad),), 1, 1, (("element", bad),))], [bad])
    sample = decode(encode(profile)).samples[0]
    assert sample.frames[0].name == "caf?"
    assert sample.labels == (("element", "caf?"),)


@given(st.text(st.characters(codec="utf-8"), min_size=1000, max_size=3000))
@example("é" * 2048)
def test_label_values_stay_below_the_servers_limit(value):
    profile = Profile(1, 2, 3, [Sample((), 1, 1, (("element", value),))])
    kept = decode(encode(profile)).samples[0].labels[0][1]
    assert len(kept.encode()) <= 2048
    assert value.startswith(kept)


def test_empty_label_values_are_left_out():
    profile = Profile(1, 2, 3, [Sample((), 1, 1, (("factory", ""), ("element", "a")))])
    assert decode(encode(profile)).samples[0].labels == (("element", "a"),)


def _mappings(modules, *programs):
    frames = tuple(Frame("f", module) for module in modules)
    comments = [profiles.stats(pid, program=name).to_comment() for pid, name in enumerate(programs)]
    data = encode(Profile(1, 2, 3, [Sample(frames, 1, 1)], comments))
    assert decode(data).samples[0].frames == frames
    message = PprofProfile.FromString(data)
    assert len({one.id for one in message.mapping}) == len(message.mapping)
    return [message.string_table[one.filename] for one in message.mapping]


@pytest.mark.parametrize(
    ("modules", "program", "first"),
    [
        (["/usr/lib/liba.so.1", "/usr/lib/b.so", "/usr/bin/x"], "", "/usr/bin/x"),
        (["[vdso]", "/usr/lib/b.so", "/usr/bin/x"], "x", "/usr/bin/x"),
        (["/opt/loaded", "/usr/bin/x"], "x", "/usr/bin/x"),
        (["[vdso]", "/usr/lib/b.so", "/usr/bin/python3.11"], "python3", "/usr/bin/python3.11"),
        # In no stack at all, as where it waits for the end of its pipeline.
        (["[vdso]", "/usr/lib/b.so"], "x", "x"),
        (["[vdso]", "/usr/lib/b.so"], "", "/usr/lib/b.so"),
    ],
)
def test_the_program_is_the_first_mapping(modules, program, first):
    found = _mappings(modules, program)
    assert found[0] == first
    assert set(found) == {*modules, first}


def test_a_program_whose_name_is_no_unicode_is_a_mapping_too():
    assert _mappings(["[vdso]"], "a\udcff") == ["a?", "[vdso]"]


def test_of_several_programs_one_is_the_first_mapping():
    assert _mappings(["/lib/b.so", "/bin/y"], "x", "y")[0] == "/bin/y"


def test_thread_ids_are_numeric_labels():
    read = parse_pprof(encode(Profile(1, 2, 3, [Sample((), 1, 1, (), tid=7, pid=9)])))
    found = {read.text(key): (text, number) for key, text, number in read.samples[0].labels}
    assert found == {"tid": (0, 7), "pid": (0, 9)}


def _many(count, depth=3):
    stacks = [tuple(Frame(f"f{i}_{j}") for j in range(depth)) for i in range(count)]
    return Profile(5, 6, 7, [Sample(one, i + 1, 1) for i, one in enumerate(stacks)], ["c"])


@given(st.integers(0, 40), st.integers(1, 7), st.integers(300, 3000))
@settings(max_examples=40)
def test_split_loses_nothing(count, max_samples, max_bytes):
    whole = _many(count)
    parts = split(whole, max_samples=max_samples, max_bytes=max_bytes)
    decoded = [decode(part) for part in parts]
    assert [sample for part in decoded for sample in part.samples] == whole.samples
    assert all(len(part.samples) <= max_samples for part in decoded)
    for part, data in zip(decoded, parts, strict=True):
        assert len(data) <= max_bytes or len(part.samples) == 1
        assert replace(part, samples=[]) == replace(whole, samples=[])


def test_a_small_profile_is_one_part():
    assert split(profiles.demo()) == [encode(profiles.demo())]


def test_a_profile_without_samples_still_carries_its_comments():
    (part,) = split(Profile(1, 2, 3, [], ["said"]))
    assert decode(part).comments == ["said"]


def test_deep_stacks_keep_leaf_and_root():
    frames = tuple(Frame(f"f{i}") for i in range(1200))
    (part,) = split(Profile(1, 2, 3, [Sample(frames, 5, 1)]))
    kept = decode(part).samples[0].frames
    assert len(kept) == 1000
    assert kept[:500] == frames[:500]
    assert kept[500] == TRUNCATED
    assert kept[501:] == frames[-499:]


def test_deep_stacks_keep_their_elements():
    frames = tuple(
        element_frame(f"i{at}", "identity", f"/pipeline0/i{at}") if at % 5 == 2 else Frame(f"f{at}")
        for at in range(2000)
    )
    (part,) = split(Profile(1, 2, 3, [Sample(frames, 5, 1)]))
    kept = decode(part).samples[0].frames
    assert len(kept) == 1000
    assert [one for one in kept if one.kind == "element"] == list(frames[2::5])
    assert (kept[0], kept[-1]) == (frames[0], frames[-1])
    assert kept.count(TRUNCATED) == 1


def test_more_elements_than_a_stack_may_have_frames_leave_leaf_and_root():
    elements = [element_frame(f"i{at}", "identity", f"/pipeline0/i{at}") for at in range(1500)]
    frames = (Frame("leaf"), *elements, Frame("root"))
    (part,) = split(Profile(1, 2, 3, [Sample(frames, 5, 1)]))
    kept = decode(part).samples[0].frames
    assert len(kept) == 1000
    assert kept[:2] == frames[:2]
    assert kept[-2:] == frames[-2:]


def test_one_stack_that_is_too_large_is_shortened():
    frames = tuple(Frame("x" * 3000 + str(i)) for i in range(900))
    (part,) = split(Profile(1, 2, 3, [Sample(frames, 5, 1)]))
    assert len(part) <= 3 * 512 * 1024
    kept = decode(part).samples[0]
    assert (kept.frames[0], kept.frames[-1], kept.cpu_ns) == (frames[0], frames[-1], 5)


def test_foreign_profiles_are_read():
    message = PprofProfile(
        string_table=[
            "",
            "samples",
            "count",
            "cpu",
            "nanoseconds",
            "main",
            "inlined",
            "m.c",
            "/a/b",
        ]
    )
    message.sample_type.add(type=1, unit=2)
    message.sample_type.add(type=3, unit=4)
    message.mapping.add(id=9, filename=8)
    message.function.add(id=4, name=5, filename=7)
    message.function.add(id=5, name=6)
    message.location.add(id=3, mapping_id=9).line.add(function_id=5, line=2)
    message.location[0].line.add(function_id=4, line=12)
    message.location.add(id=8, mapping_id=9, address=0x1234)
    message.sample.add(location_id=[8, 3], value=[4, 40])
    (sample,) = decode(message.SerializeToString()).samples
    assert (sample.cpu_ns, sample.samples) == (40, 4)
    assert sample.frames == (
        Frame("b+0x1234", "/a/b"),
        Frame("inlined", "/a/b", line=2),
        Frame("main", "/a/b", file="m.c", line=12),
    )


def _with(**fields):
    message = PprofProfile.FromString(encode(profiles.demo()))
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_damaged_references_are_refused():
    message = _with()
    message.sample[0].location_id[0] = 99
    with pytest.raises(ProfileFormatError, match="does not hold"):
        decode(message.SerializeToString())
    message = _with()
    message.function[0].name = -1
    with pytest.raises(ProfileFormatError, match="does not hold"):
        decode(message.SerializeToString())
    message = _with()
    del message.sample[0].value[:]
    with pytest.raises(ProfileFormatError, match="does not hold"):
        decode(message.SerializeToString())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, I am no profile", "not a pprof profile"),
        (b"\x1f\x8b\x08garbage", "gzip data is damaged"),
        (gzip.compress(encode(profiles.demo()))[:-12], "cut off"),
        (gzip.compress(b"", mtime=0), "string table"),
        (gzip.compress(b"\xff" * 50, mtime=0), "not a pprof profile"),
        (PushRequest().SerializeToString() or b"\n\x02\x08\x01", "string table"),
    ],
)
def test_what_is_no_profile_is_refused(data, says):
    with pytest.raises(ProfileFormatError, match=says):
        decode(data)


def test_a_heap_profile_is_refused_by_name():
    message = PprofProfile(string_table=["", "alloc_space", "bytes"])
    message.sample_type.add(type=1, unit=2)
    with pytest.raises(ProfileFormatError, match="alloc_space/bytes"):
        decode(message.SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_give_a_profile_or_the_one_error(data):
    with contextlib.suppress(ProfileFormatError):
        decode(data)


@given(profiles.profiles, st.data())
def test_any_damage_gives_a_profile_or_the_one_error(profile, data):
    raw = bytearray(encode(profile))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProfileFormatError):
        decode(bytes(raw))


@pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")
def test_go_tool_pprof_reads_it(tmp_path):
    file = tmp_path / "x.pb.gz"
    file.write_bytes(gzip.compress(encode(profiles.demo())))

    def pprof(*options):
        command = ["go", "tool", "pprof", *options, str(file)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    raw = pprof("-raw")
    assert "cpu/nanoseconds[dflt] samples/count" in raw
    assert "1500000000        150: 1 2 3 4" in raw
    assert "element:[x264enc0]" in raw
    assert "tid:[7]" in raw
    assert "x264enc0 gst-element:x264enc:/pipeline0/x264enc0" in raw
    top = pprof("-top", "-cum", "-nodefraction=0")
    assert "Total samples = 3000ms" in top
    assert [line.split()[0] for line in top.splitlines() if line.endswith("_handle_frame")] == [
        "2000ms"
    ]
    assert "100ms  3.33%" in next(line for line in top.splitlines() if "[main thread]" in line)
