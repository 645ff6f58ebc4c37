# SPDX-License-Identifier: MIT
"""agent/unseen.py, pprof/scaling.py: nothing is reported twice, nothing is lost, parts add up.

Context: test.
"""

from hypothesis import given, strategies as st

from gst_pyro_shim.agent.unseen import Unseen
from gst_pyro_shim.pprof.scaling import scale

_MS = 1_000_000
_WEIGHTS = st.lists(st.integers(0, 2**32), min_size=1, max_size=50).filter(any)


@given(_WEIGHTS, st.integers(0, 2**63))
def test_parts_add_up_to_the_total(weights, total):
    parts = scale(weights, total)
    assert sum(parts) == total
    assert len(parts) == len(weights)


@given(_WEIGHTS, st.integers(0, 2**63))
def test_each_part_is_its_share_to_one_unit(weights, total):
    for weight, part in zip(weights, scale(weights, total), strict=True):
        assert abs(part - total * weight / sum(weights)) <= 1 + total * 1e-15
        assert part >= 0


@given(_WEIGHTS, st.integers(0, 2**63))
def test_no_weight_no_part(weights, total):
    parts = scale([0, *weights], total)
    assert parts[0] == 0


def test_unseen_cpu_is_reported_once_it_was_missing_for_three_windows():
    unseen = Unseen()
    reported = [unseen.take(100 * _MS * n, 90 * _MS * n, final=False) for n in range(1, 6)]
    # Missing: 10, 20, 30, 40, 50 ms; of the last three the least is certain.
    assert reported == [0, 0, 10 * _MS, 10 * _MS, 10 * _MS]
    assert unseen.take(600 * _MS, 540 * _MS, final=True) == 30 * _MS


def test_a_thread_that_is_found_late_is_not_reported_as_unseen():
    unseen = Unseen()
    assert unseen.take(100 * _MS, 60 * _MS, final=False) == 0
    assert unseen.take(200 * _MS, 200 * _MS, final=False) == 0
    assert unseen.take(300 * _MS, 300 * _MS, final=True) == 0


def test_clocks_that_differ_by_less_than_a_millisecond_make_no_thread():
    unseen = Unseen()
    assert unseen.take(100 * _MS, 100 * _MS - 999_999, final=True) == 0


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1))
def test_at_the_end_accounted_and_unseen_are_the_process(steps):
    unseen, process, accounted, reported = Unseen(), 0, 0, 0
    for number, (more, missing) in enumerate(steps, 1):
        process += more * _MS
        accounted = max(accounted, process - missing * _MS)
        reported += unseen.take(process, accounted, final=number == len(steps))
    assert reported >= process - accounted - _MS
    assert reported <= max(100 * _MS, process)
