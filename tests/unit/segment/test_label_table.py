# SPDX-License-Identifier: MIT
"""segment/label_table.py: elements with their bins, and rows that are used again.

Context: test. The shim's side is fake_shim.py.
"""

import pytest


def test_an_element_is_read_with_the_bins_around_it(shim, segment):
    camera = shim.bin("camera", factory="pipeline")
    inner = shim.bin("bin7", camera, auto_named=True)
    encoder = shim.element("enc", "x264enc", inner)
    assert [step[1:] for step in segment.labels.path(shim.key(encoder))] == [
        ("state_change", "camera", "pipeline", False),
        ("state_change", "bin7", "bin", True),
        ("element", "enc", "x264enc", False),
    ]
    assert [step.key for step in segment.labels.path(shim.key(encoder))] == [
        shim.key(one) for one in (camera, inner, encoder)
    ]
    assert [step.kind for step in segment.labels.path(shim.key(shim.label("main")))] == ["main"]


def test_a_bins_own_work_has_the_path_of_the_bin(shim, segment):
    pipeline = shim.bin("camera", factory="pipeline")
    source = shim.bin("src", factory="rtspsrc")
    work = shim.own_work(source)
    shim.move(source, pipeline)
    path = segment.labels.path(shim.key(work))
    assert [(step.kind, step.name, step.factory) for step in path] == [
        ("state_change", "camera", "pipeline"),
        ("own_work", "src", "rtspsrc"),
    ]
    assert path[1].key == shim.key(source)
    key = shim.key(work)
    shim.end_label(work)
    segment.labels.free([key])
    shim.own_work(pipeline)
    assert segment.labels.path(key) == []


@pytest.mark.parametrize("key", [0, 5, 2**24 - 1, 2**55])
def test_a_label_that_does_not_exist_is_in_nothing(segment, key):
    assert segment.labels.path(key) == []


def test_a_chain_of_bins_without_an_end_is_cut(shim, segment):
    one, two = shim.bin("one"), shim.bin("two")
    shim.move(one, two)
    shim.move(two, one)
    assert 0 < len(segment.labels.path(shim.key(one))) < 1000


def test_the_next_user_of_a_row_is_another_label(shim, segment):
    number = shim.element("a")
    first = shim.key(number)
    assert segment.labels.ended() == []
    shim.end_label(number)
    assert segment.labels.is_gone(first)
    assert segment.labels.ended() == [first]
    segment.labels.free([first])
    assert segment.labels.ended() == []
    assert segment.labels.path(first) == []
    shim.element("b", number=number)
    assert segment.labels.path(first) == []
    assert not segment.labels.is_gone(shim.key(number))
    assert segment.labels.path(shim.key(number))[-1].name == "b"


def test_a_label_that_lives_is_not_freed(shim, segment):
    number = shim.element("a")
    segment.labels.free([shim.key(number)])
    assert segment.labels.path(shim.key(number))[-1].name == "a"
