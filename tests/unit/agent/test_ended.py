# SPDX-License-Identifier: MIT
"""agent/ended.py: what has ended is in the profile once, and its rows are freed when nothing refers to them.

Context: test.
"""

from tests.support.fake_shim import label_tag, lib
from tests.support.window_bench import MS, by_element, stacks


def test_threads_that_end_are_in_the_profile_and_their_slots_are_freed(bench):
    shim = bench.shim
    label = shim.element("worker0")
    for tid in range(100, 300):  # more than ever live at once
        slot = shim.thread(tid, f"w{tid}", slot=None if tid < 110 else tid % 10)
        shim.account(slot, label, 5 * MS)
        if tid % 2:
            shim.record(slot, label, [0x100])
        shim.end_thread(slot)
        bench.window.drain()
        assert shim.raw.threads[slot].state == 0
    profile = bench.close()
    assert by_element(profile) == {"worker0": 1000}
    assert sum(sample.samples for sample in profile.samples) == 100
    assert {sample.tid for sample in profile.samples} == set(range(100, 300))
    assert dict(profile.samples[0].labels)["thread"] == "w100"
    assert bench.close().samples == []


def test_a_slot_is_held_while_records_of_its_thread_are_stuck_behind_another(bench):
    shim = bench.shim
    slot, other, label = shim.thread(1, "a"), shim.thread(2, "b"), shim.element("e")
    shim.account(slot, label, 5 * MS)
    shim.record(other, label, [1], state=lib.GP_RECORD_BUSY)
    shim.record(slot, label, [2])
    shim.end_thread(slot)
    bench.window.drain()
    assert shim.raw.threads[slot].state != 0
    (sample,) = bench.close().samples  # its CPU, without the sample that is still in the ring
    assert (sample.cpu_ns, sample.samples) == (5 * MS, 0)
    bench.window.drain(final=True)
    assert shim.raw.threads[slot].state == 0
    profile = bench.close(final=True)
    assert [(sample.cpu_ns, sample.samples) for sample in profile.samples] == [(0, 1)]
    assert bench.window.dropped["dropped_unfinished"] == 1


def test_successive_threads_of_one_slot_are_kept_apart(bench):
    shim = bench.shim
    label = shim.element("e")
    for tid in (1, 2):
        slot = shim.thread(tid, "same", slot=0)
        shim.account(slot, label, 10 * tid * MS)
        shim.record(slot, label, [tid])
        shim.end_thread(slot)
        bench.window.drain()
    assert sorted((one.tid, one.cpu_ns // MS) for one in bench.close().samples) == [
        (1, 10),
        (2, 20),
    ]


def test_an_element_that_ended_is_in_the_profile_and_its_rows_are_freed(bench):
    shim = bench.shim
    slot = shim.thread(1, "a")
    number, row, key = None, None, None
    for session in range(300):  # one after the other in the same rows
        number = shim.element(f"e{session % 3}", number=number)
        row = shim.account(slot, number, 5 * MS, number=row)
        shim.record(slot, number, [0x100, label_tag(number)])
        shim.end_label(number)
        bench.window.drain()
        assert shim.raw.accounts[row].state == 0
        key = shim.key(number)
        bench.window.drain()
        assert shim.raw.labels[number].state == 0
    profile = bench.close()
    assert by_element(profile) == {"e0": 500, "e1": 500, "e2": 500}
    assert stacks(profile) == {("[jit]", f"e{n}"): (500, 100) for n in range(3)}
    assert bench.close().samples == []
    assert key not in bench.window._labels._known


def test_the_next_user_of_a_labels_row_is_not_freed_with_the_last_one(bench):
    """It comes and ends between two drains."""
    shim = bench.shim
    slot = shim.thread(1, "a")
    number = shim.element("first")
    shim.end_label(number)
    for _ in range(2):
        bench.window.drain()
    assert shim.raw.labels[number].state == 0
    shim.element("second", number=number)
    shim.account(slot, number, 5 * MS)
    shim.end_label(number)
    bench.window.drain()
    assert shim.raw.labels[number].state != 0
    bench.window.drain()
    assert shim.raw.labels[number].state == 0
    assert by_element(bench.close()) == {"second": 5}


def test_a_bin_that_ends_with_its_last_element_still_names_it(bench):
    shim = bench.shim
    slot = shim.thread(1, "a")
    pipeline = shim.bin("camera")  # in a row that a look for ended ones passes first
    encoder = shim.element("enc", "x264enc", pipeline)
    shim.account(slot, encoder, 5 * MS)
    shim.end_label(pipeline)
    bench.window.drain()
    shim.end_label(encoder)  # as if between the look and the accounts
    bench.window.drain()
    (sample,) = bench.close().samples
    assert dict(sample.labels)["pipeline"] == "camera"


def test_cpu_without_an_account_outlives_its_label(bench):
    shim = bench.shim
    label = shim.element("enc", "x264enc")
    shim.raw.labels[label].overflow_ns = 5 * MS
    shim.end_label(label)
    bench.window.drain()
    bench.window.drain()
    assert shim.raw.labels[label].state == 0
    assert by_element(bench.close()) == {"enc": 5}


def test_threads_beyond_a_number_are_added_up_by_name(bench):
    shim = bench.shim
    bench.names._limit = 10
    label = shim.element("worker0")
    for tid in range(100, 2100):  # more than have a tid in the profile
        slot = shim.thread(tid, f"w{tid}", slot=0)
        shim.account(slot, label, MS)
        shim.record(slot, label, [0x100])
        shim.end_thread(slot)
        bench.window.drain()
    profile = bench.close()
    assert by_element(profile) == {"worker0": 2000}
    assert len(profile.samples) <= 1025
    assert sum(sample.samples for sample in profile.samples) == 2000
    assert {dict(one.labels)["thread"] for one in profile.samples} == {
        "w*",
        *(f"w{tid}" for tid in range(100, 110)),
    }
