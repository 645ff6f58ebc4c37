# SPDX-License-Identifier: MIT
"""pprof/folding.py, merge.py: a run of weeks has a bounded profile, in which recent samples keep their functions.

Context: test.
"""

import pytest

from gst_pyro_shim.pprof.folding import LONG_NS
from gst_pyro_shim.pprof.merge import Merge
from gst_pyro_shim.pprof.model import Frame, Profile, Sample, element_frame
from gst_pyro_shim.views.summary import summarize

HOUR_NS = 3600 * 10**9


def sample(name, *, factory="x264enc", tid=1, cpu_ns=5):
    frame = element_frame(name, factory, f"/session/{name}")
    labels = (("element", name), ("factory", factory), ("pipeline", "session"), ("thread", "t"))
    return Sample((Frame("work"), frame), cpu_ns, 1, labels, tid)


def window(number, *samples):
    return Profile(number * 2 * LONG_NS + 1, 10, 7, list(samples))


@pytest.fixture
def merge():
    return Merge(max_stacks=100)


def test_threads_that_are_long_gone_are_one(merge):
    for number in range(1000):
        merge.add(window(number, sample("enc", tid=number + 1)))
    whole = merge.profile()
    assert len(whole.samples) <= 100
    assert {one.frames for one in whole.samples} == {sample("enc").frames}
    assert sum(one.cpu_ns for one in whole.samples) == 5000
    assert whole.samples[-1].tid == 1000
    assert not any("gst-pyro-cut" in one for one in whole.comments)


def test_old_elements_are_folded_by_factory_and_the_cut_says_so(merge):
    for number in range(1000):
        merge.add(window(number, sample(f"session{number}", tid=number + 1)))
    merge.add(window(1000, sample("last")))
    summary = summarize(merge.profile())
    rows = {row.name: row for row in summary.rows}
    assert len(rows) <= 102
    assert rows["last"].self_ns == 5
    assert rows["x264enc*"].factory == "x264enc"
    assert sum(row.self_ns for row in summary.rows) == 5005
    assert summary.cut.elements >= 900
    assert summary.cut.cpu_ns == 0  # none lost its functions
    assert {one.frames[0].name for one in merge.profile().samples} == {"work"}


def test_what_is_sampled_in_each_window_keeps_its_thread_and_name(merge):
    for number in range(1000):
        merge.add(window(number, sample("camera", tid=7), sample(f"s{number}", tid=number + 100)))
    (camera,) = [one for one in merge.profile().samples if one.labels[0][1] == "camera"]
    assert (camera.tid, camera.cpu_ns) == (7, 5000)


def test_state_changes_of_bins_that_are_gone_are_one(merge):
    for number in range(1000):
        name = f"[state change of b{number}]"
        merge.add(
            window(number, Sample((Frame("f"), element_frame(name)), 5, 1, (("element", name),)))
        )
    names = {one.frames[1].name for one in merge.profile().samples}
    assert "[state change of *]" in names
    assert len(names) <= 100


def test_links_of_what_comes_and_goes_have_an_end(monkeypatch):
    monkeypatch.setattr("gst_pyro_shim.pprof.merge.MAX_COMMENTS", 10)
    merge = Merge()
    for number in range(100):
        merge.add(Profile(1, 2, 3, [], [f"links {number}"]))
    assert len(merge.profile().comments) == 10
