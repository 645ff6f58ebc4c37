# SPDX-License-Identifier: MIT
"""segment/, reader*.c: what the agent reads of a segment, and how it survives what a dead host left.

Context: test. The shim's side is fake_shim.py.
"""

import os
import random
import struct
import threading
import time

import pytest
from hypothesis import given, strategies as st

from gst_pyro_shim.errors import SegmentError
from gst_pyro_shim.segment.rows import Account, Thread
from gst_pyro_shim.segment.segment import AGENT_DONE, Segment
from tests.support.fake_shim import RING_WORDS, FakeShim, ffi, lib


@pytest.fixture
def shim():
    with FakeShim() as fake:
        yield fake


@pytest.fixture
def segment(shim):
    one = Segment.from_fd(shim.fd)
    yield one
    one.close()


def pcs(data):
    """(slot, weight, frames) of each record."""
    out, at = [], 0
    while at < len(data):
        _, words, slot, _, _, weight, _, _, depth = struct.unpack_from("=7I2H", data, at)
        out.append((slot, weight, struct.unpack_from(f"={depth}Q", data, at + 32)))
        at += words * 8
    return out


def drain_all(segment, *, final=False):
    out = []
    while data := segment.drain(final=final).data:
        out += pcs(data)
    return out


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


def test_records_come_in_order_and_the_ring_is_zeroed_behind(shim, segment):
    slot = shim.thread(7, "worker")
    for pc in range(1, 6):
        shim.record(slot, 1, [pc] * pc, weight=pc)
    drained = segment.drain()
    assert pcs(drained.data) == [(slot, pc, (pc,) * pc) for pc in range(1, 6)]
    assert segment.tail == segment.head
    assert not any(bytes(ffi.buffer(shim.raw.ring, shim.raw.head * 8)))
    assert not segment.drain().data


def test_a_ring_that_wraps_many_times_loses_and_reorders_nothing(shim, segment):
    slot, rng, sent, got = shim.thread(7, "worker"), random.Random(1), [], []
    for number in range(12_000):
        frames = [number + 1] * rng.randrange(1, 900)
        try:
            shim.record(slot, 1, frames)
        except BufferError:
            got += drain_all(segment)
            shim.record(slot, 1, frames)
        sent.append((slot, 1, (frames[0], len(frames))))
    got += drain_all(segment)
    assert shim.raw.head > 4 * RING_WORDS
    assert [(one, weight, (frames[0], len(frames))) for one, weight, frames in got] == sent


def test_the_deepest_possible_record_fits_the_buffer(shim, segment):
    shim.record(shim.thread(7, "worker"), 1, range(1, 65536))
    assert len(drain_all(segment)[0][2]) == 65535


def test_a_record_being_written_holds_up_those_behind_it_until_it_is_done(shim, segment):
    slot = shim.thread(7, "worker")
    shim.record(slot, 1, [1], state=lib.GP_RECORD_BUSY)
    shim.record(slot, 1, [2])
    assert drain_all(segment) == []
    ffi.cast("struct gp_record *", shim.raw.ring).state = lib.GP_RECORD_COMMITTED
    assert [frames for _, _, frames in drain_all(segment)] == [(1,), (2,)]


@pytest.mark.parametrize("state", [lib.GP_RECORD_BUSY, lib.GP_RECORD_EMPTY])
def test_the_final_drain_skips_a_record_whose_writer_is_dead(shim, segment, state):
    slot = shim.thread(7, "worker")
    shim.record(slot, 1, [1])
    shim.record(slot, 1, [9] * 20, state=state)
    shim.record(slot, 1, [2])
    drained = segment.drain(final=True)
    assert [frames for _, _, frames in pcs(drained.data)] == [(1,), (2,)]
    assert drained.unfinished == 1
    assert segment.tail == segment.head


def test_garbage_is_thrown_away_and_counted_and_what_comes_later_is_read(shim, segment):
    slot = shim.thread(7, "worker")
    shim.record(slot, 1, [1])
    record = ffi.cast("struct gp_record *", shim.raw.ring)
    for words, depth in ((3, 1), (2**31, 1), (8, 5), (0, 1)):
        record.state, record.words, record.depth = lib.GP_RECORD_COMMITTED, words, depth
        shim.raw.head = shim.raw.tail + 8
        assert segment.drain().corrupt_words == 8
        shim.raw.head = shim.raw.tail = 0
        ffi.memmove(shim.raw.ring, bytes(64), 64)
    shim.record(slot, 1, [2])
    assert [frames for _, _, frames in drain_all(segment)] == [(2,)]


def test_random_bytes_in_the_ring_neither_crash_nor_hang(shim, segment):
    rng = random.Random(3)
    for final in (False, True) * 50:
        size = rng.randrange(8, 4096, 4)
        ffi.memmove(shim.raw.ring, rng.randbytes(size * 8), size * 8)
        shim.raw.tail, shim.raw.released, shim.raw.head = 0, 0, size
        for _ in range(size):
            if not segment.drain(final=final).data:
                break
        assert segment.tail <= segment.head
        ffi.memmove(shim.raw.ring, bytes(size * 8), size * 8)


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
