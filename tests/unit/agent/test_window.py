# SPDX-License-Identifier: MIT
"""agent/window.py: CPU time comes from accounts alone, samples are neither lost nor invented.

Context: test.
"""

from hypothesis import given, settings, strategies as st

from gst_pyro_shim.pprof.model import NO_SAMPLE
from gst_pyro_shim.segment import abi
from tests.support.fake_shim import label_tag, lib
from tests.support.window_bench import MS, Bench, by_element, stacks


def test_samples_are_scaled_to_their_account(bench):
    shim = bench.shim
    slot, label = shim.thread(42, "x264enc0:src"), shim.element("x264enc0", "x264enc")
    shim.account(slot, label, 100 * MS)
    shim.record(slot, label, [0x100, label_tag(label)], weight=3)
    shim.record(slot, label, [0x200, label_tag(label), label_tag(label)])
    profile = bench.close()
    assert stacks(profile) == {
        ("[jit]", "x264enc0"): (75, 3),
        ("[jit]", "x264enc0", "x264enc0"): (25, 1),
    }
    assert all(sample.tid == 42 for sample in profile.samples)
    assert dict(profile.samples[0].labels) == {
        "element": "x264enc0",
        "factory": "x264enc",
        "pipeline": "pipeline0",
        "thread": "x264enc0:src",
    }


def test_an_account_without_a_sample_is_one_stack(bench):
    slot, label = bench.shim.thread(42, "t"), bench.shim.element("queue0")
    bench.shim.account(slot, label, 7 * MS)
    (sample,) = bench.close().samples
    assert [frame.name for frame in sample.frames] == ["[no sample]", "queue0"]
    assert sample.frames[0] is NO_SAMPLE
    assert (sample.cpu_ns, sample.samples) == (7 * MS, 0)


def test_each_window_has_only_new_cpu_time(bench):
    slot, label = bench.shim.thread(42, "t"), bench.shim.element("queue0")
    row = bench.shim.raw.accounts[bench.shim.account(slot, label, 7 * MS)]
    found = [by_element(bench.close())]
    for ns in (9, 9, 8, 12):  # 8: an estimate was taken back
        row.ns = ns * MS
        row.closed_ns = 0
        found.append(by_element(bench.close()))
    assert found == [{"queue0": 7}, {"queue0": 2}, {}, {}, {"queue0": 3}]


def test_samples_wait_for_their_accounts_cpu_time(bench):
    shim = bench.shim
    slot, label = shim.thread(42, "t"), shim.element("queue0")
    row = shim.raw.accounts[shim.account(slot, label, 7 * MS)]
    assert by_element(bench.close()) == {"queue0": 7}
    shim.record(slot, label, [0x100])
    assert bench.close().samples == []
    assert bench.window.weight == 0
    row.ns = 10 * MS
    (sample,) = bench.close().samples
    assert (sample.cpu_ns, sample.samples) == (3 * MS, 1)


def test_at_the_end_nothing_waits_any_more(bench):
    shim = bench.shim
    slot, label = shim.thread(42, "t"), shim.element("queue0")
    shim.record(slot, label, [0x100], weight=2)
    assert bench.close().samples == []
    (sample,) = bench.close(final=True).samples
    assert (sample.cpu_ns, sample.samples) == (0, 2)
    assert bench.window.weight == 2


def test_cpu_without_an_account_goes_to_the_samples_without_one(bench):
    shim = bench.shim
    with_account, without, label = shim.thread(1, "a"), shim.thread(2, "b"), shim.element("e")
    shim.account(with_account, label, 0)
    shim.raw.labels[label].overflow_ns = 30 * MS
    shim.record(without, label, [1])
    profile = bench.close()
    assert [(one.tid, one.cpu_ns // MS, one.samples) for one in profile.samples] == [(2, 30, 1)]
    shim.raw.labels[label].overflow_ns = 5 * MS
    profile = bench.close()
    assert [(one.tid, one.cpu_ns // MS, one.samples) for one in profile.samples] == [(0, 5, 0)]
    assert profile.samples[0].frames[0] is NO_SAMPLE


def test_cpu_in_no_account_is_unseen_at_the_end(bench):
    slot, label = bench.shim.thread(1, "a"), bench.shim.element("e")
    bench.shim.account(slot, label, 30 * MS)
    assert by_element(bench.close(process_ns=50 * MS)) == {"e": 30}
    profile = bench.close(process_ns=50 * MS, final=True)
    assert by_element(profile) == {"[unseen threads]": 20}
    assert bench.window.process_ns == 50 * MS


def test_process_time_is_the_process_clock(bench):
    slot, label = bench.shim.thread(1, "a"), bench.shim.element("e")
    bench.shim.account(slot, label, 30 * MS)
    assert by_element(bench.close(process_ns=10 * MS, final=True)) == {"e": 30}
    assert (bench.window.process_ns, bench.window.accounted_ns) == (10 * MS, 30 * MS)


def test_kinds_of_cpu_of_no_element_have_their_names_and_no_factory(bench):
    shim = bench.shim
    kinds = ("main", "pool", "task", "thread", "agent", "before", "overflow")
    for kind in kinds:
        shim.account(shim.thread(1, "a"), shim.label(kind), MS)
    shim.account(shim.thread(1, "a"), shim.label("state_change", "pipeline0"), MS)
    profile = bench.close()
    assert set(by_element(profile)) == {
        "[main thread]",
        "[GLib pool]",
        "[GStreamer task]",
        "[other threads]",
        "[gst-pyro agent]",
        "[before the tracer]",
        "[too many labels]",
        "[state change of pipeline0]",
    }
    assert not any("factory" in dict(sample.labels) for sample in profile.samples)


def test_samples_have_a_path_for_elements_in_bins_below_the_pipeline(bench):
    shim = bench.shim
    slot = shim.thread(1, "a")
    shallow = shim.element("queue0")
    bin0 = shim.bin("bin0", shim.raw.labels[shallow].parent)
    shim.account(slot, shim.element("queue0", "queue", bin0), MS)
    shim.account(slot, shallow, MS)
    paths = {dict(sample.labels).get("path") for sample in bench.close().samples}
    assert paths == {"/pipeline0/bin0/queue0", None}


def test_windows_follow_each_other_without_gap(bench):
    first, second = bench.close(), bench.close()
    assert first.start_ns == bench.segment.start_real_ns
    assert second.start_ns == first.start_ns + first.duration_ns
    assert first.period_ns == 10 * MS
    bench.window.drain()
    third = bench.window.close()  # the shim has not closed
    assert third.duration_ns > 0


def test_a_clock_that_was_set_meanwhile_counts_from_then_on(bench, monkeypatch):
    first = bench.close()
    now = abi.real_ns
    monkeypatch.setattr(abi, "real_ns", lambda: now() + 3600 * 1000 * MS)
    second = bench.close()
    begin_ns = first.start_ns + first.duration_ns
    assert abs(second.start_ns - begin_ns - 3600 * 1000 * MS) < 1000 * MS
    monkeypatch.setattr(abi, "real_ns", lambda: now() + 3600 * 1000 * MS + MS)  # drift
    assert bench.close().start_ns == second.start_ns + second.duration_ns


def test_without_a_sampling_clock_there_is_no_period(bench):
    bench.shim.raw.clock = lib.GP_CLOCK_NONE
    assert bench.close().period_ns == 0


def test_stacks_beyond_the_memory_bound_keep_their_ends(bench, monkeypatch):
    monkeypatch.setattr("gst_pyro_shim.agent.window._KEY_BYTES", 1000)
    slot, label = bench.shim.thread(1, "a"), bench.shim.element("e")
    bench.shim.account(slot, label, 10 * MS)
    for number in range(5):
        bench.shim.record(slot, label, [number * 1000 + n for n in range(1, 400)])
    depths = [len(sample.frames) for sample in bench.close().samples]
    assert len(depths) == 2  # whole, and cut: all its addresses are in no file
    assert min(depths) < 140 < max(depths)


_STEP = st.tuples(
    st.sampled_from(["spend", "spend", "sample", "sample", "drain", "close", "end"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(1, 50),
)


@settings(max_examples=60)
@given(st.lists(_STEP, max_size=60))
def test_whatever_happens_time_and_ticks_add_up(steps):
    bench = Bench()
    try:
        shim = bench.shim
        labels = [shim.element(f"e{n}") for n in range(3)]
        slots = {n: shim.thread(n + 1, f"t{n}") for n in range(4)}
        rows: dict[tuple[int, int], object] = {}
        spent = ticks = 0
        profiles = []
        for what, thread, label, amount in steps:
            slot = slots[thread]
            if what == "spend":
                if (slot, label) not in rows:
                    number = shim.account(slot, labels[label], 0)
                    rows[slot, label] = shim.raw.accounts[number]
                rows[slot, label].ns += amount * MS
                spent += amount * MS
            elif what == "sample":
                shim.record(slot, labels[label], [0x1000 + amount], weight=amount)
                ticks += amount
            elif what == "drain":
                bench.window.drain()
            elif what == "close":
                profiles.append(bench.close())
            elif what == "end":
                shim.end_thread(slot)
                rows = {key: row for key, row in rows.items() if key[0] != slot}
                slots[thread] = shim.thread(thread + 1, "again")
        profiles.append(bench.close(final=True))
        samples = [sample for profile in profiles for sample in profile.samples]
        assert sum(sample.cpu_ns for sample in samples) == spent == bench.window.accounted_ns
        assert sum(sample.samples for sample in samples) == ticks == bench.window.weight
        assert all(sample.cpu_ns >= 0 and sample.frames for sample in samples)
    finally:
        bench.end()


def test_an_element_has_one_row_though_its_place_changed(bench):
    shim = bench.shim
    slot = shim.thread(1, "a")
    encoder = shim.element("enc", "x264enc", 0)
    row = shim.raw.accounts[shim.account(slot, encoder, 5 * MS)]
    shim.record(slot, encoder, [0x100])
    bench.window.drain()
    inner = shim.bin("b")
    shim.move(encoder, inner)
    shim.record(slot, encoder, [0x200])
    bench.window.drain()
    shim.move(inner, shim.bin("camera"))
    row.ns = 9 * MS
    paths = {sample.frames[-1].path for sample in bench.close().samples}
    assert paths == {"/camera/b/enc"}


def test_elements_beyond_the_limit_are_added_up_by_factory(bench):
    shim = bench.shim
    bench.names._limit = 10
    slot = shim.thread(1, "a")
    for number in range(1000):
        label = shim.element(f"identity{number}", "identity", auto_named=True)
        shim.account(slot, label, MS)
        shim.end_label(label)
    bench.window.drain()
    found = by_element(bench.close())
    assert found == {f"identity{number}": 1 for number in range(10)} | {"identity*": 990}
    assert bench.names.folded == 990
