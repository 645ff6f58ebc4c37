# SPDX-License-Identifier: MIT
"""merge.py and stats.py: sums of profiles, and which totals of a process count.

Context: test.
"""

import json
import threading
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.decode import decode
from gst_pyro_shim.facts import RunFacts
from gst_pyro_shim.merge import Merge
from gst_pyro_shim.model import TRUNCATED, Frame, Profile, Sample
from gst_pyro_shim.profile import encode, split
from gst_pyro_shim.stats import RunStats, latest
from tests import profiles


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


def test_what_a_process_says_after_its_last_push_counts_in_any_order():
    told = profiles.stats(counters={"pushed_profiles": 0})
    knows = profiles.stats(counters={"pushed_profiles": 1})
    assert latest([told, knows]) == latest([knows, told]) == [knows]


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


def test_totals_come_back_from_their_comment():
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
