# SPDX-License-Identifier: MIT
"""agent/naming.py: names that GStreamer made are bounded, names that people gave are kept, namesakes are numbered.

Context: test.
"""

import itertools

import pytest

from gst_pyro_shim.agent.naming import MAX_NAMESAKES, Names
from gst_pyro_shim.segment.rows import Step
from gst_pyro_shim.settings.model import FIRST_OF_FACTORY

KEYS = itertools.count(1)


def pipeline(name="camera", *, auto=False):
    return Step(next(KEYS), "state_change", name, "pipeline", auto)


def element(name, factory="identity", *, auto=True):
    return Step(next(KEYS), "element", name, factory, auto)


@pytest.fixture
def gone():
    return set()


@pytest.fixture
def names(gone):
    return Names(10, gone.__contains__)


def test_names_that_gstreamer_made_are_kept_up_to_the_limit(names):
    camera = pipeline()
    shown = [names.label([camera, element(f"identity{n}")]).name for n in range(12)]
    assert shown == [*(f"identity{n}" for n in range(10)), "identity*", "identity*"]
    assert names.folded == 2
    assert names.example == "identity10 counts as identity*"


def test_a_name_that_was_kept_stays_kept(names):
    camera, first = pipeline(), element("identity0")
    for n in range(20):
        names.label([camera, element(f"identity{n}")])
    assert names.label([camera, first]).path == "/camera/identity0"


def test_the_first_of_each_factory_are_kept_beyond_the_limit(names):
    camera = pipeline()
    for n in range(20):
        names.label([camera, element(f"identity{n}")])
    shown = [names.label([camera, element(f"x264enc{n}", "x264enc")]).name for n in range(6)]
    assert shown == [*(f"x264enc{n}" for n in range(FIRST_OF_FACTORY)), "x264enc*", "x264enc*"]


def test_names_that_people_gave_are_kept(names):
    camera = pipeline()
    shown = [names.label([camera, element(f"identity{n}", auto=False)]).name for n in range(500)]
    assert shown[499] == "identity499"
    assert not names.folded


def test_an_element_that_is_one_of_many_is_in_bins_of_many(names):
    for n in range(20):
        names.label([pipeline(f"pipeline{n}", auto=True), element(f"identity{n}")])
    label = names.label([pipeline("pipeline99", auto=True), element("identity99")])
    assert (label.path, label.pipeline) == ("/pipeline*/identity*", "pipeline*")
    assert label.factory == "identity"
    named = names.label([pipeline("pipeline100", auto=True), element("enc", "x264enc", auto=False)])
    assert (named.name, named.path) == ("enc", "/pipeline*/enc")
    change = names.label([pipeline("pipeline101", auto=True)])
    assert (change.name, change.pipeline) == ("[state change of pipeline*]", "pipeline*")


def test_a_name_of_a_type_that_ends_in_a_digit_loses_its_dash_too(names):
    for n in range(20):
        names.label([pipeline(), element(f"identity{n}")])
        names.label([pipeline(), element(f"gstthing264-{n}", "")])
    assert names.label([pipeline(), element("gstthing264-99", "")]).name == "gstthing264*"


def test_pipelines_of_one_name_are_numbered_while_they_live(names, gone):
    cameras = [pipeline() for _ in range(8)]
    shown = [names.label([one, element("enc", auto=False)]) for one in cameras]
    assert [one.path for one in shown] == [
        "/camera/enc",
        *(f"/camera#{n}/enc" for n in range(2, 9)),
    ]
    assert [one.pipeline for one in shown[:2]] == ["camera", "camera#2"]
    assert {one.name for one in shown} == {"enc"}
    gone.add(cameras[1].key)
    assert names.label([pipeline()]).name == "[state change of camera#2]"
    # A number does not change while its pipeline lives.
    assert names.label([cameras[7]]).pipeline == "camera#8"


def test_pipelines_that_follow_each_other_are_one(names, gone):
    for _ in range(1000):
        camera = pipeline()
        assert names.label([camera, element("enc", auto=False)]).path == "/camera/enc"
        gone.add(camera.key)
        names.release(camera.key)
    assert not names._numbers
    assert not names._namesakes


def test_namesakes_beyond_their_number_count_together(names):
    shown = [names.label([pipeline()]).pipeline for _ in range(MAX_NAMESAKES + 2)]
    assert shown[-3:] == [f"camera#{MAX_NAMESAKES}", "camera#*", "camera#*"]


def test_what_a_bin_does_itself_is_an_elements(names):
    first, second = pipeline(), pipeline()
    names.label([first])
    label = names.label([second._replace(kind="own_work")])
    assert (label.name, label.path, label.pipeline) == ("camera#2", "/camera#2", "camera#2")
    assert (label.factory, label.kind) == ("pipeline", "element")
    source = Step(next(KEYS), "own_work", "src", "rtspsrc", auto_named=False)
    assert names.label([second, source]).path == "/camera#2/src"


def test_what_is_no_element_has_its_fixed_name(names):
    assert names.label([Step(1, "main", "", "", auto_named=False)]).name == "[main thread]"
    assert names.label([]).name == "[other threads]"


def test_names_of_threads_with_a_number_are_kept_up_to_the_limit(names):
    shown = [names.thread(f"identity{n}:src") for n in range(12)]
    assert shown[9:] == ["identity9:src", "identity*:src", "identity*:src"]
    assert names.thread("identity3:src") == "identity3:src"
    assert names.thread("mux") == "mux"
