# SPDX-License-Identifier: MIT
"""pprof/merge.py and pprof/run_statistics.py: sums of profiles, and which totals of a process count.

Context: test.
"""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim import cli
from gst_pyro_shim.pprof import files
from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode, split
from gst_pyro_shim.pprof.merge import Cut, Merge
from gst_pyro_shim.pprof.model import PYTHON, TRUNCATED, Frame, Profile, Sample, element_frame
from gst_pyro_shim.pprof.run_facts import RunFacts
from gst_pyro_shim.pprof.run_statistics import RunStats, latest
from gst_pyro_shim.views.summary import summarize
from tests.support import profiles


def _sum(profile):
    found = {}
    for one in profile.samples:
        key = (one.frames, one.labels, one.tid)
        cpu_ns, samples = found.get(key, (0, 0))
        found[key] = (cpu_ns + one.cpu_ns, samples + one.samples)
    return found


@given(st.lists(profiles.profiles, max_size=3))
def test_nothing_is_lost_and_nothing_invented(given_profiles):
    merge = Merge()
    for profile in given_profiles:
        merge.add(profile)
    together = Profile(0, 0, 0, [one for profile in given_profiles for one in profile.samples])
    assert _sum(merge.profile()) == _sum(together)


def test_a_split_window_adds_up_to_itself():
    profile = profiles.demo()
    merge = Merge()
    for part in split(profile, max_samples=1):
        merge.add(decode(part))
    assert _sum(merge.profile()) == _sum(profile)
    assert merge.profile().duration_ns == profile.duration_ns
    assert merge.profile().comments == profile.comments


def test_the_merged_profile_survives_the_file():
    merge = Merge()
    merge.add(profiles.demo())
    assert decode(encode(merge.profile())) == merge.profile()


def test_times_span_all_windows():
    merge = Merge()
    for start_ns, duration_ns in ((50, 10), (10, 20), (30, 5)):
        merge.add(Profile(start_ns, duration_ns, 7))
    whole = merge.profile()
    assert (whole.start_ns, whole.duration_ns, whole.period_ns) == (10, 50, 7)


def test_threads_of_two_processes_stay_apart():
    merge = Merge()
    merge.add(profiles.demo(pid=1))
    merge.add(profiles.demo(pid=2))
    whole = merge.profile()
    assert {one.pid for one in whole.samples} == {1, 2}
    assert len(whole.samples) == 8
    assert [one.pid for one in whole.stats()] == [1, 2]


def test_the_last_word_of_a_process_counts_however_late_the_others_come():
    merge = Merge()
    final = profiles.stats(duration_s=9.0, final=True)
    early = profiles.stats(duration_s=3.0, final=False)
    for one in (early, final, early):
        merge.add(Profile(1, 2, 3, [], [one.to_comment()]))
    assert merge.stats() == [final]
    assert merge.profile().comments == [final.to_comment()]


def test_the_newest_statistics_count_in_any_order():
    before = profiles.stats(counters={"pushed_profiles": 0})
    knows = profiles.stats(counters={"pushed_profiles": 1})
    assert latest([before, knows]) == latest([knows, before]) == [knows]


def test_a_reused_pid_is_another_process():
    first = profiles.stats(start_ns=1)
    second = profiles.stats(start_ns=2)
    assert latest([second, first]) == [first, second]


def test_other_comments_are_kept_once():
    merge = Merge()
    for _ in range(2):
        merge.add(Profile(1, 2, 3, [], ["something else"]))
    assert merge.profile().comments == ["something else"]


def test_too_many_stacks_keep_their_elements_and_all_their_time():
    merge = Merge(max_stacks=2)
    stacks = [(Frame(f"f{i}"), profiles.X264, Frame("main")) for i in range(10)]
    merge.add(Profile(1, 2, 3, [Sample(one, 5, 1) for one in stacks]))
    merge.add(Profile(1, 2, 3, [Sample(stacks[0], 5, 1)]))
    found = {one.frames: (one.cpu_ns, one.samples) for one in merge.profile().samples}
    assert found == {
        stacks[0]: (10, 2),
        stacks[1]: (5, 1),
        (TRUNCATED, profiles.X264): (40, 8),
    }


def _many(count, *below):
    """As many stacks, each of a thread of its own, 5 ns each."""
    for i in range(count):
        labels = (*profiles.labels("x264enc0", "x264enc"), ("thread", f"worker{i}"))
        yield Sample((Frame(f"f{i}"), *below), 5, 1, labels, tid=i)


def test_threads_without_number_take_no_room_where_there_is_none():
    merge = Merge(max_stacks=2)
    merge.add(Profile(1, 2, 3, list(_many(50, profiles.X264))))
    *whole, cut = merge.profile().samples
    assert [one.tid for one in whole] == [0, 1]
    labels = profiles.labels("x264enc0", "x264enc")
    assert cut == Sample((TRUNCATED, profiles.X264), 48 * 5, 48, labels)


def test_elements_without_number_keep_their_time_in_one_place():
    merge = Merge(max_stacks=10)
    elements = [element_frame(f"e{i}", "identity", f"/p/e{i}") for i in range(50)]
    merge.add(Profile(1, 2, 3, [Sample((Frame("f"), one), 5, 1) for one in elements]))
    merge.add(Profile(1, 2, 3, [Sample((Frame("g"), elements[12]), 5, 1)]))
    found = {one.frames[1].name: one.cpu_ns for one in merge.profile().samples}
    assert len(found) == 21
    assert (found["e9"], found["e10"], found["e12"]) == (5, 5, 10)
    assert found["[too many labels]"] == 30 * 5


def test_deep_stacks_fill_the_room_sooner():
    merge = Merge(max_frames=100)
    merge.add(Profile(1, 2, 3, list(_many(50, *[Frame("f")] * 38, profiles.X264))))
    depths = [len(one.frames) for one in merge.profile().samples]
    assert depths == [40, 40, 40, 2]


def test_pythons_share_of_an_element_outlives_its_stacks():
    python = Frame(PYTHON, "/usr/bin/python3")
    called = Frame(PYTHON)  # by an element that was pushed from there
    stacks = [*_many(30, python, profiles.X264), *_many(30, profiles.X264, called, profiles.SRC)]
    labels = profiles.labels("x264enc0", "x264enc")
    functions = [
        Sample((Frame(f"f{i % 3}", file="x.py", line=i), Frame(f"g{i}")), 5, 0, labels)
        for i in range(60)
    ]
    rows = []
    for max_stacks in (1000, 5):
        merge = Merge(max_stacks)
        merge.add(Profile(1, 2, 3, stacks, python=functions))
        (x264, _) = summarize(merge.profile()).rows
        rows.append([(one.name, one.self_ns) for one in x264.python() if one.self_ns])
        assert (x264.name, x264.self_ns, x264.python_ns) == ("x264enc0", 300, 150)
    assert rows == [[("f0", 50), ("f1", 50), ("f2", 50)]] * 2


def test_the_report_says_what_was_cut(tmp_path, capsys):
    file = tmp_path / "x.pb.gz"
    merge = Merge(max_stacks=3)
    second = [replace(one, cpu_ns=10**9) for one in _many(4, profiles.X264)]
    merge.add(replace(profiles.demo(), samples=[*second, *second]))
    files.write(file, merge.profile(), force=False)
    says = (
        "Too many different stacks: 2.000 s of CPU time (2 samples) count by element only,"
        " without functions and threads.\n"
    )
    for flags in ((), ("--by", "thread")):
        assert cli.main(["report", *flags, str(file)]) == 0
        assert says in capsys.readouterr().out
    assert cli.main(["report", "--json", str(file)]) == 0
    given = json.loads(capsys.readouterr().out)
    assert given["cut_stacks"] == {"cpu_s": 2.0, "samples": 2}
    assert given["accounted_cpu_s"] == 8.0
    whole = summarize(profiles.demo())
    assert whole.as_json()["cut_stacks"] == {"cpu_s": 0.0, "samples": 0}


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "{",
        "[]",
        "3",
        '{"cpu_ns":"1"}',
        '{"cpu_ns":true}',
        '{"cpu_ns":NaN}',
        '{"cpu_ns":1,"x":2}',
        f'{{"samples":{10**400}}}',
        "[" * 100_000,
    ],
    ids=lambda comment: comment[:20],
)
def test_other_comments_are_no_cut(comment):
    assert Cut.from_comment(f"gst-pyro-cut {comment}") is None
    assert Cut.from_comment(Cut(3, 4).to_comment()) == Cut(3, 4)


def test_threads_may_add_at_once():
    merge = Merge()

    def add():
        for _ in range(50):
            merge.add(profiles.demo())

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.cpu_ns for one in merge.profile().samples) == 200 * 3_000_000_000


def test_totals_are_read_from_their_comment():
    one = profiles.stats(notes=["say “this”"], counters={"samples": 3}, agent_cpu_s=0.5)
    assert RunStats.from_comment(one.to_comment()) == one


def test_what_a_later_version_adds_is_left_out():
    given_json = json.loads(profiles.stats().to_comment().removeprefix("gst-pyro "))
    comment = "gst-pyro " + json.dumps(given_json | {"colour": "blue", "sample_clock": "sundial"})
    assert RunStats.from_comment(comment) == profiles.stats(sample_clock="")


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "hello",
        "gst-pyro ",
        "gst-pyro {",
        "gst-pyro []",
        "gst-pyro {}",
        'gst-pyro {"pid": 1}',
        'gst-pyro {"pid": "1", "start_ns": 2}',
        'gst-pyro {"pid": true, "start_ns": 2}',
        'gst-pyro {"pid": 1, "start_ns": 2, "counters": {"a": "b"}}',
        'gst-pyro {"pid": 1, "start_ns": 2, "notes": [1]}',
        'gst-pyro {"pid": 1, "start_ns": 2, "final": 1}',
        'gst-pyro {"pid": 1, "start_ns": 2, "process_cpu_s": "3"}',
        "gst-pyro-run {}",
        f"gst-pyro {'[' * 100_000}",
        f'gst-pyro {{"pid": 1, "start_ns": 2, "named_weight": {10**400}}}',
        f'gst-pyro {{"pid": 1, "start_ns": {2**63}}}',
        f'gst-pyro {{"pid": 1, "start_ns": 2, "counters": {{"pushed_bytes": {-(10**400)}}}}}',
    ],
    ids=lambda comment: comment[:60],
)
def test_other_comments_are_no_totals(comment):
    assert RunStats.from_comment(comment) is None


def test_a_comment_too_deep_to_be_read_is_no_facts():
    assert RunFacts.from_comment(f"gst-pyro-run {'[' * 100_000}") is None


def test_a_profile_without_totals_says_so():
    assert Profile(1, 2, 3, [], ["x"]).stats() == []
    assert replace(profiles.demo()).stats() == [profiles.stats()]
