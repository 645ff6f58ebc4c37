# SPDX-License-Identifier: MIT
"""reader.c by segment/segment.py: what is drained from the ring, and how that survives what a dead host left there.

Context: test. The shim's side is fake_shim.py.
"""

import random
import struct

import pytest

from tests.support.fake_shim import RING_WORDS, ffi, lib


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
