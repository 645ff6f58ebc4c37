# SPDX-License-Identifier: MIT
"""python/cpu_time.py: the accounts say how much, pyroscope-io's samples in which function, and the rest is [python,
not sampled].

Context: test.
"""

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.pprof.model import NOT_SAMPLED, PYTHON, Frame, Profile, Sample, element_frame
from gst_pyro_shim.python.cpu_time import python_profile

SINK = (("element", "sink"), ("factory", "appsink"), ("pipeline", "p"))
MAIN = (("element", "[main thread]"),)
OTHERS = (("element", "[other threads]"),)
AGENT = (("element", "[gst-pyro agent]"),)
WORK, REST = Frame("work", file="app.py", line=7), Frame("rest", file="app.py", line=9)


def native(labels, ns, *, python=True, thread=""):
    """A native sample within an element."""
    frames = (Frame("memcpy"), *([Frame(PYTHON)] if python else []), element_frame(labels[0][1]))
    return Sample(frames, ns, 1, (*labels, ("thread", thread)) if thread else labels)


def seen(ticks, labels=SINK, *frames):
    """A sample of pyroscope-io's: a tick is 40 ms of the wall clock."""
    return Sample(frames or (WORK,), ticks * 40_000_000, ticks, labels)


def divided(samples, python):
    """(ns, ticks) by element and function."""
    told = Profile(1, 2, 40_000_000, python) if python is not None else None
    profile = python_profile(Profile(5, 7, 10_000_000, samples), told)
    assert (profile.start_ns, profile.duration_ns) == (5, 7)
    found = {(dict(one.labels)["element"], one.frames[0].name): one for one in profile.samples}
    assert len(found) == len(profile.samples)
    return {key: (one.cpu_ns, one.samples) for key, one in found.items()}


def test_the_sum_is_the_accounts_however_many_samples_a_busy_machine_makes():
    samples = [
        native(SINK, 600, thread="a"),
        native(SINK, 400, thread="b"),
        native(SINK, 77, python=False),
    ]
    for times in (1, 15):
        assert divided(samples, [seen(3 * times), seen(times, SINK, REST)]) == {
            ("sink", "work"): (750, 3 * times),
            ("sink", "rest"): (250, times),
        }


@pytest.mark.parametrize("told", [None, [], [seen(3, MAIN)], [seen(0)]])
def test_time_without_a_python_sample_is_not_sampled(told):
    assert divided([native(SINK, 1000)], told) == {("sink", NOT_SAMPLED.name): (1000, 0)}


def test_samples_that_waited_for_a_processor_have_no_time():
    assert divided([native(SINK, 1000)], [seen(1), seen(50, MAIN)]) == {("sink", "work"): (1000, 1)}


def test_the_agents_python_is_not_the_programs():
    assert divided([native(AGENT, 1000)], [seen(1, AGENT)]) == {}


def test_tags_come_in_no_order():
    deep = (*SINK, ("path", "/p/b/sink"))
    python = [seen(1, tuple(reversed(deep))), seen(1, tuple(reversed(SINK)), REST)]
    profile = python_profile(
        Profile(1, 2, 3, [native(deep, 10), native(SINK, 20)]), Profile(1, 2, 3, python)
    )
    assert [(one.labels, one.frames, one.cpu_ns) for one in profile.samples] == [
        (deep, (WORK,), 10),
        (SINK, (REST,), 20),
    ]


@pytest.mark.parametrize("tags", [(), OTHERS])
def test_untagged_is_another_threads(tags):
    samples = [native(MAIN, 10), native(OTHERS, 30)]
    assert divided(samples, [seen(4, tags), seen(2, MAIN, REST)]) == {
        ("[other threads]", "work"): (30, 4),
        ("[main thread]", "rest"): (10, 2),
    }


@pytest.mark.parametrize("tags", [(), OTHERS])
def test_untagged_is_the_main_threads_where_no_other_runs_python(tags):
    samples = [native(MAIN, 10), native(OTHERS, 5, python=False)]
    assert divided(samples, [seen(4, tags)]) == {("[main thread]", "work"): (10, 4)}


def test_namesakes_have_their_own_time_and_the_functions_of_all():
    def labels(pipeline):
        return (("element", "sink"), ("factory", "appsink"), ("pipeline", pipeline))

    python = [seen(1, labels("camera")), seen(3, labels("camera"), REST)]
    samples = [native(labels("camera"), 40), native(labels("camera#2"), 400)]
    profile = python_profile(Profile(1, 2, 3, samples), Profile(1, 2, 3, python))
    assert [(one.labels[2][1], one.frames[0].name, one.cpu_ns) for one in profile.samples] == [
        ("camera", "work", 10),
        ("camera", "rest", 30),
        ("camera#2", "work", 100),
        ("camera#2", "rest", 300),
    ]


def test_tags_of_elements_whose_names_are_folded():
    def labels(element, pipeline, path=""):
        found = (("element", element), ("factory", "appsink"), ("pipeline", pipeline))
        return (*found, ("path", path)) if path else found

    told = [
        labels("appsink1", "pipeline1"),
        labels("appsink*", "camera"),
        labels("appsink*", "pipeline*"),
        labels("appsink*", "pipeline*", "/pipeline*/bin*/appsink*"),
    ]
    tags = [
        labels("appsink1", "pipeline1"),
        labels("appsink812", "camera"),
        labels("appsink813", "pipeline907"),
        labels("appsink814", "pipeline908", "/pipeline908/bin77/appsink814"),
        labels("other", "pipeline1"),  # used no CPU
    ]
    frames = [Frame(f"f{at}") for at in range(5)]
    python = [seen(1, one, frame) for one, frame in zip(tags, frames, strict=True)]
    samples = [native(one, 10) for one in told]
    out = python_profile(Profile(1, 2, 3, samples), Profile(1, 2, 3, python)).samples
    assert [(one.labels, one.frames) for one in out] == [
        (one, (frame,)) for one, frame in zip(told, frames[:4], strict=True)
    ]


_labels = st.sampled_from([SINK, MAIN, OTHERS])


@given(
    st.lists(st.builds(native, _labels, st.integers(0, 10**12), python=st.booleans())),
    st.none()
    | st.lists(st.builds(seen, st.integers(0, 10**6), _labels, st.sampled_from([WORK, REST]))),
)
def test_no_time_is_counted_twice_and_none_is_lost(samples, python):
    told = Profile(1, 2, 3, python) if python is not None else None
    out = python_profile(Profile(1, 2, 3, samples), told).samples
    for labels in (SINK, MAIN, OTHERS):
        used = sum(one.cpu_ns for one in samples if one.labels == labels and one.python)
        assert sum(one.cpu_ns for one in out if one.labels == labels) == used
    assert all(
        one.cpu_ns for one in out
    )  # in a file a sample without CPU time would count as native
