# SPDX-License-Identifier: MIT
"""segment/, reader*.c: what the agent reads of a segment, and how it survives what a dead host left.

Context: test. The shim's side is fake_shim.py.
"""

import os
import threading
import time

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.segment.rows import Account, Thread
from gst_pyro_shim.segment.segment import AGENT_DONE, Segment
from tests.support.fake_shim import FakeShim, lib


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda raw: setattr(raw, "magic", 1), "does not begin as a segment"),
        (lambda raw: setattr(raw, "abi_version", 99), "different versions"),
        (lambda raw: setattr(raw, "bytes", 64), "its size is not"),
    ],
)
def test_memory_that_is_no_segment_is_refused_with_the_reason(shim, spoil, text):
    spoil(shim.raw)
    with pytest.raises(SegmentError, match=text):
        Segment.from_fd(shim.fd)


def test_a_file_that_is_too_small_is_refused(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"gstpyro\0" * 10)
    fd = os.open(path, os.O_RDWR)
    with pytest.raises(SegmentError, match="smaller than"):
        Segment.from_fd(fd)
    os.close(fd)


def test_a_descriptor_that_is_not_open_is_refused():
    with pytest.raises(SegmentError, match="not open"):
        Segment.from_fd(9999)


def test_parameters_are_read_up_to_the_empty_key():
    with FakeShim(params=b"server-url\0http://x\0tags\0a=b\0\0left over\0") as shim:
        assert Segment.from_fd(shim.fd).params() == {"server-url": "http://x", "tags": "a=b"}


def test_links_are_taken_once_and_many(shim, segment):
    elements = [shim.element(f"e{number}") for number in range(3)]
    for _ in range(2):  # the table is a ring
        for index in range(10_000):
            shim.link(elements[index % 2], elements[2])
        found = list(segment.take_links())
        assert len(found) == 10_000
        assert found[0] == (shim.key(elements[0]), shim.key(elements[2]))
        assert list(segment.take_links()) == []


def test_cpu_without_an_account_is_taken_once(shim, segment):
    number = shim.element("a")
    shim.raw.labels[number].overflow_ns = 7
    assert list(segment.take_overflows()) == [(shim.key(number), 7)]
    assert list(segment.take_overflows()) == []


def test_threads_and_accounts_are_taken_and_given_back(shim, segment):
    label = shim.element("a")
    key = shim.key(label)
    alive, ended = shim.thread(11, "alive"), shim.thread(12, "sixteen letters!")
    shim.account(alive, label, 5)
    shim.account(ended, label, 6)
    shim.end_thread(ended)
    assert segment.threads(ended_only=True) == [Thread(ended, 1, 12, "sixteen letters")]
    assert list(segment.take_accounts(ended_only=True)) == [
        Account(ended, 1, key, 6, has_ended=True)
    ]
    assert (shim.raw.accounts[1].state, shim.raw.accounts[1].label) == (0, 0)
    segment.free_threads([ended, alive])
    assert segment.threads() == [Thread(alive, 1, 11, "alive")]
    assert list(segment.take_accounts()) == [Account(alive, 1, key, 5, has_ended=False)]
    assert list(segment.take_accounts()) == []


def test_the_next_user_of_an_accounts_row_begins_anew(shim, segment):
    slot, label = shim.thread(1, "t"), shim.element("a")
    number = shim.account(slot, label, 100)
    assert [one.ns for one in segment.take_accounts()] == [100]
    shim.end_thread(slot)
    assert [one.ns for one in segment.take_accounts()] == [0]
    shim.account(shim.thread(2, "t"), label, 30, number=number)
    assert [one.ns for one in segment.take_accounts()] == [30]


def test_a_live_account_counts_its_open_stretch_and_an_ended_one_does_not(shim, segment):
    slot, label = shim.thread(1, "t"), shim.element("a")
    row = shim.raw.accounts[shim.account(slot, label, 100)]
    row.closed_ns = 130
    assert [one.ns for one in segment.take_accounts()] == [130]
    row.ns = 150
    assert [one.ns for one in segment.take_accounts()] == [20]
    row.closed_ns = 999
    row.ns = 160
    shim.end_thread(slot)
    assert [one.ns for one in segment.take_accounts()] == [10]


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_what_is_reported_of_an_account_is_the_greatest_total_read(totals):
    with FakeShim() as shim:
        segment = Segment.from_fd(shim.fd)
        row = shim.raw.accounts[shim.account(shim.thread(1, "t"), shim.element("a"))]
        reported = []
        for row.ns in totals:
            reported += [one.ns for one in segment.take_accounts()]
        assert sum(reported) == max(totals)
        assert min(reported, default=1) > 0
        segment.close()


def test_an_account_that_is_being_filled_is_passed_over(shim, segment):
    shim.account(shim.thread(1, "t"), 0, 100)
    assert list(segment.take_accounts()) == []


def test_more_rows_than_fit_at_once_are_all_read(shim, segment):
    label = shim.element("a")
    for tid in range(1, 10_001):
        shim.account(shim.thread(tid, "t"), label, tid)
    assert len(segment.threads()) == 10_000
    assert sum(one.ns for one in segment.take_accounts()) == 50_005_000


def test_modules_are_followed_as_they_come_and_go(shim, segment):
    one = shim.module(0x1000, 0x2000, 0x1000, "/lib/a.so", "ab")
    assert [module.path for module in segment.code.modules()] == ["/lib/a.so"]
    shim.unload(one)
    shim.module(0x1000, 0x2000, 0x1000, "/lib/b.so")
    first, second = segment.code.modules()
    assert (first.added, first.removed, second.added, second.removed) == (1, 2, 3, 0)
    assert segment.code.generation == 3


def test_a_close_is_asked_for_and_waited_for(shim, segment):
    assert not segment.request_close(0.02)
    shim.serve()
    assert segment.request_close(1.0)
    assert segment.close_mono_ns > 0


def test_a_wake_ends_the_wait(shim, segment):
    seen = segment.wake
    shim.raw.wake += 1
    assert segment.wait(seen, 10.0) == seen + 1
    begin = time.monotonic()
    assert segment.wait(seen + 1, 0.02) == seen + 1
    assert time.monotonic() - begin > 0.015


def test_the_wait_lets_other_python_threads_run(shim, segment):
    ran = threading.Event()
    threading.Timer(0.01, ran.set).start()
    segment.wait(segment.wake, 0.2)
    assert ran.is_set()


def test_states_and_counters_go_by_their_names(shim, segment):
    shim.raw.counters[lib.GP_COUNTER_DROPPED_RING_FULL] = 3
    assert segment.counters()["dropped_ring_full"] == 3
    assert "counters" not in segment.counters()
    assert segment.sample_clock == "timer"
    assert not segment.is_stopping
    shim.stop()
    assert segment.is_stopping
    segment.set_agent_state(AGENT_DONE)
    assert shim.raw.agent_state == AGENT_DONE


def test_log_lines_are_levelled_and_stay_one_line(shim, segment):
    segment.log("warning", "two\nlines\0")
    segment.log("debug", "x")
    assert shim.log_lines() == ["2two lines ", "5x"]


def test_a_full_log_leaves_lines_out_until_there_is_room(shim, segment):
    for _ in range(40):
        segment.log("info", "y" * 1000)
    assert len(shim.log_lines()) == 16
    shim.raw.log_read = shim.raw.log_written
    segment.log("info", "again")
    assert shim.raw.log_written - shim.raw.log_read == len("4again\n")
