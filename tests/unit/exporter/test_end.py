# SPDX-License-Identifier: MIT
"""The last flush ends in time, and each profile is stored, spooled or counted as dropped.

Context: tests.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter

import pytest

from gst_pyro_shim.push import attempt, exporter, last_flush
from gst_pyro_shim.push.answer import Answer, Fate
from gst_pyro_shim.push.exporter import Exporter
from gst_pyro_shim.push.spool import Spool
from gst_pyro_shim.settings.model import Settings
from tests.support.exporting import (
    ANSWERED_S,
    CLOSE_S,
    closed_within,
    dropped,
    spooled_files,
    submit,
)
from tests.support.pprof_writer import pprof
from tests.support.pyroscope_server import Fault
from tests.support.waiting import wait_for

CPU_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


def test_submit_does_not_wait_for_a_hanging_server(server, settings, log, monkeypatch):
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 600.0)
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    submit(exporting, 20)  # returns while the first push still waits for its answer
    assert not exporting.counters.get("unconfirmed")
    exporting.close(0.5)


def test_the_last_flush_pushes_in_parallel(server, settings, log, monkeypatch):
    server.always = Fault(delay_s=0.5)
    exporting = Exporter(settings, log)
    submit(exporting, 20, size=100)
    assert closed_within(exporting, ANSWERED_S) < 2.0
    assert exporting.counters["pushed_profiles"] == 20
    assert server.total(CPU_TYPE) == 20 * 1000
    assert not spooled_files(settings)


@pytest.mark.parametrize("how", ["hang", "refuse", "absent", "drip", "garbage", "close"])
def test_close_ends_in_time_and_loses_nothing(how, server, tmp_path, log):
    url = server.url
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))  # bound, not listening: refuses
    if how == "refuse":
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    elif how == "absent":
        url = "http://192.0.2.1:4040"  # TEST-NET-1: nobody answers
    elif how == "hang":
        server.always = Fault(hang=True)
    elif how == "drip":
        server.always = Fault(raw=b"HTTP/1.1 200 OK\r\nX: ", hang=True)
    elif how == "garbage":
        server.always = Fault(raw=b"\x15\x03\x01\x00\x02\x02\x50 what?\r\n\r\n")
    else:
        server.always = Fault(close=True)
    settings = Settings(server_url=url, spool_dir=str(tmp_path / "spool"))
    exporting = Exporter(settings, log)
    submit(exporting, 20)
    closed_within(exporting)
    closed.close()
    assert exporting.counters["spooled"] == 20
    assert len(spooled_files(settings)) == 20
    assert dropped(exporting) == {}


@pytest.mark.parametrize("how", ["hang", "refuse"])
def test_without_a_spool_what_is_lost_is_counted(how, server, log):
    server.always = Fault(hang=True)
    url = server.url if how == "hang" else "http://127.0.0.1:1"
    exporting = Exporter(Settings(server_url=url, spool_dir=""), log)
    submit(exporting, 20)
    closed_within(exporting)
    assert sum(dropped(exporting).values()) == 20


def test_an_answer_that_the_end_waits_for_leaves_nothing_on_disk(
    server, settings, log, monkeypatch
):
    server.always = Fault(delay_s=0.7)
    exporting = Exporter(settings, log)
    submit(exporting, 10)
    closed_within(exporting, ANSWERED_S)
    assert exporting.counters["pushed_profiles"] == 10
    assert exporting.counters["spooled"] == exporting.counters["from_spool"] == 0
    assert not spooled_files(settings)


def test_a_push_that_close_ended_is_known_as_unconfirmed_at_the_next_start(
    server, settings, log, impatient
):
    server.always = Fault(hang=True)
    first = Exporter(settings, log)
    submit(first)
    wait_for(lambda: server.requests)
    first.close(0.2)
    assert "-u1-" in spooled_files(settings)[0].name
    second = Exporter(settings, log)
    wait_for(lambda: dropped(second))
    assert dropped(second) == {"dropped_unconfirmed": 1}
    second.close(CLOSE_S)


def test_a_push_that_close_ended_tries_no_further_address(
    server, settings, log, monkeypatch, full_backlog
):
    port = int(server.url.rpartition(":")[2])
    places = [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", place)
        for place in (full_backlog, ("127.0.0.1", port))
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting._sender.pushing)
    closed_within(exporting, 0.3)
    wait_for(lambda: not exporting._sender.pushing)
    assert not server.requests
    assert "-u0-" in spooled_files(settings)[0].name


def test_a_push_that_close_ended_is_not_sent_after_a_slow_name_look_up(
    server, settings, log, monkeypatch
):
    look_up, found = socket.getaddrinfo, threading.Event()

    def slow(*place, **how):
        found.wait()
        return look_up(*place, **how)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting._sender.pushing)
    closed_within(exporting, 0.2)
    found.set()
    wait_for(lambda: not exporting._sender.pushing)
    assert not server.requests
    assert "-u0-" in spooled_files(settings)[0].name


@pytest.mark.parametrize("count", [1, 5])
def test_pushes_without_an_answer_before_the_end_are_logged_once(count, server, settings, log):
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    submit(exporting, count)
    closed_within(exporting, 0.3)
    (said,) = log.at("warning", "error")
    assert said.startswith(
        f"cannot push to {server.url}: no answer before the end; profiles wait in "
    )
    assert said.endswith(str(spooled_files(settings)[0].parent))


def test_the_end_does_not_repeat_that_profiles_wait(server, settings, log, impatient):
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: log.at("warning"))
    submit(exporting, 3)
    closed_within(exporting)
    assert len([text for text in log.at("warning") if "profiles wait in" in text]) == 1


def test_a_server_known_to_be_silent_does_not_hold_up_the_end(server, settings, log, impatient):
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters.get("unconfirmed"))
    submit(exporting, 10)
    assert closed_within(exporting, ANSWERED_S) < 5.0
    # The first may have been pushed for the second time when the end came; it is dropped then.
    assert len(spooled_files(settings)) + sum(dropped(exporting).values()) == 11


def test_a_disk_that_hangs_is_not_waited_for_and_its_profile_is_counted(
    server, settings, log, monkeypatch
):
    server.always = Fault(status=503)
    goes_on = threading.Event()
    exporting = Exporter(settings, log)
    monkeypatch.setattr(Spool, "add", lambda *_, **__: goes_on.wait())
    submit(exporting)
    wait_for(lambda: exporting.counters.get("failed_pushes"))
    closed_within(exporting, 0.3)
    assert dropped(exporting) == {"dropped_not_delivered": 1}
    goes_on.set()


def test_close_twice_and_submit_after_it_are_harmless(server, settings, log):
    exporting = Exporter(settings, log)
    exporting.close(CLOSE_S)
    exporting.close(CLOSE_S)
    submit(exporting)
    assert dropped(exporting) == {"dropped_closed": 1}


def test_threads_end_with_close(server, settings, log):
    # Another test's thread may still wait for its hanging server.
    before = set(threading.enumerate())
    exporting = Exporter(settings, log)
    submit(exporting, 5)
    assert {t.name for t in set(threading.enumerate()) - before} >= {"gst-pyro-push"}
    exporting.close(CLOSE_S)

    def ours():
        new = set(threading.enumerate()) - before
        return [t.name for t in new if t.name.startswith("gst-pyro")]

    wait_for(lambda: not ours())


def test_many_submitters_lose_and_double_nothing(server, settings, log):
    server.faults.extend([Fault(status=503), Fault(), Fault(status=500), Fault(close=True)])
    exporting = Exporter(settings, log)
    threads = [threading.Thread(target=submit, args=(exporting, 10)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exporting.close(2.0)
    left = len(spooled_files(settings))
    assert len(server.stored()) + left == 50
    assert exporting.counters["pushed_profiles"] == 50 - left
    assert dropped(exporting) == {}


TROUBLES = [
    *(Fault(status=status) for status in (429, 500, 502, 503)),
    Fault(raw=b"SSH-2.0-OpenSSH\r\n"),
    Fault(close=True),
    Fault(close=True, stores=True, delay_s=2 * attempt.HANG_UP_S),
    Fault(status=504, stores=True),
    Fault(delay_s=0.8),
    *[Fault()] * 6,
]


@pytest.mark.parametrize("seed", range(3))
def test_every_profile_is_stored_or_counted_whatever_happens(
    seed, server, settings, log, impatient
):
    """Several exporters share a spool, the server fails in changing ways, and the end comes at any moment."""
    chance = random.Random(seed)
    submitted, counts = 0, Counter()
    for _ in range(4):
        exporters = [Exporter(settings, log) for _ in range(2)]
        for _ in range(5):
            for exporting in exporters:
                server.faults.extend(chance.choices(TROUBLES, k=2))
                now = time.time_ns()
                one = {"stack": ["f"], "value": [1], "labels": {"element": f"p{submitted}"}}
                exporting.submit(pprof([one], time_ns=now), start_ns=now)
                submitted += 1
            time.sleep(chance.random() / 20)
        for exporting in exporters:
            closed_within(exporting, chance.choice([0.1, 0.3, 1.0]))
            counts.update(exporting.counters)
        server.faults.clear()
    last = Exporter(settings, log)
    wait_for(lambda: not spooled_files(settings))
    last.close(CLOSE_S)
    counts.update(last.counters)
    stored = Counter(profile.label("element") for profile in server.stored())
    lost = submitted - len(stored)
    assert lost <= sum(count for name, count in counts.items() if name.startswith("dropped_"))
    assert max(stored.values()) <= 2
    assert counts["pushed_profiles"] <= sum(stored.values())


def test_a_profile_sent_twice_without_an_answer_is_dropped_at_the_end(
    server, settings, log, monkeypatch
):
    server.always = Fault(hang=True)
    first = Exporter(settings, log)
    submit(first)
    wait_for(lambda: server.requests)
    first.close(0.2)
    second = Exporter(settings, log)
    wait_for(lambda: len(server.requests) == 2)
    second.close(0.2)
    assert dropped(second) == {"dropped_unconfirmed": 1}
    assert not spooled_files(settings)
    assert "profile dropped (unconfirmed): sent twice" in log.at("warning")[-1]


def test_without_threads_the_end_puts_profiles_on_disk_itself(server, settings, log, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    closed_within(exporting)
    assert len(spooled_files(settings)) == exporting.counters["spooled"] == 3
    assert "no thread can be started for pushing" in log.at("warning")


def test_a_copy_written_after_the_push_has_ended_is_removed(settings, log, monkeypatch):
    add, is_writing, is_pushed = Spool.add, threading.Event(), threading.Event()

    def push(*_):
        is_writing.wait()
        return Answer(Fate.STORED, "stored", "stored")

    def slow(*arguments, **keywords):
        is_writing.set()
        is_pushed.wait()
        return add(*arguments, **keywords)

    monkeypatch.setattr(last_flush, "INSURE_AFTER", 0.0)
    monkeypatch.setattr(Spool, "add", slow)
    exporting = Exporter(settings, log)
    exporting._sender.pusher.push = push
    submit(exporting)
    wait_for(lambda: exporting._sender.pushing)
    exporting.close(ANSWERED_S)
    assert exporting.counters["pushed_profiles"] == 1
    is_pushed.set()
    wait_for(lambda: "gst-pyro-insure" not in {one.name for one in threading.enumerate()})
    assert not spooled_files(settings)
    assert exporting.counters["spooled"] == 0
