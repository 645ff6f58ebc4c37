# SPDX-License-Identifier: MIT
"""Profiles that wait, on disk or in memory, for a server that is away.

Context: tests.
"""

from __future__ import annotations

import os
import time

import pytest

from gst_pyro_shim.push import outbox
from gst_pyro_shim.push.exporter import Exporter
from gst_pyro_shim.settings.model import Settings
from tests.support.exporting import (
    ANSWERED_S,
    CLOSE_S,
    closed_within,
    dropped,
    profile,
    spooled_files,
    submit,
)
from tests.support.pprof_writer import SECOND_NS
from tests.support.pyroscope_server import Fault, PyroscopeServer
from tests.support.waiting import wait_for

CPU_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


def test_the_spool_is_delivered_when_the_server_is_back(server, settings, log):
    server.faults.extend([Fault(status=503)] * 3)
    exporting = Exporter(settings, log)
    submit(exporting, 5)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 5)
    assert server.total(CPU_TYPE) == 5000
    assert exporting.counters["failed_pushes"] == 3
    assert exporting.counters["from_spool"] >= 1
    assert not spooled_files(settings)
    assert len(log.at("warning")) == 1
    assert len(log.at("info")) == 1
    exporting.close(CLOSE_S)


def test_the_spool_is_delivered_at_the_next_start(server, settings, log):
    server.always = Fault(status=503)
    first = Exporter(settings, log)
    submit(first, 3)
    first.close(CLOSE_S)
    assert len(spooled_files(settings)) == 3
    server.always = None
    second = Exporter(settings, log)
    wait_for(lambda: second.counters["pushed_profiles"] == 3)
    second.close(CLOSE_S)
    assert server.total(CPU_TYPE) == 3000
    assert not spooled_files(settings)


def test_a_spool_is_never_delivered_to_another_server(server, settings, log):
    server.always = Fault(status=503)
    first = Exporter(settings, log)
    submit(first, 3)
    first.close(CLOSE_S)
    with PyroscopeServer() as other:
        for changed in ({"server_url": other.url}, {"tenant_id": "team"}):
            server.always = None
            second = Exporter(settings.model_copy(update=changed), log)
            submit(second)
            wait_for(lambda second=second: second.counters["pushed_profiles"] == 1)
            second.close(CLOSE_S)
        assert len(other.stored()) == 1
    assert len(spooled_files(settings)) == 3


def test_without_a_spool_profiles_wait_in_memory(server, log):
    server.faults.extend([Fault(status=502), Fault(status=500), Fault(status=429)])
    exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
    submit(exporting, 4)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 4)
    assert server.total(CPU_TYPE) == 4000
    exporting.close(CLOSE_S)


def test_an_old_profile_is_dropped_unsent(server, settings, log):
    exporting = Exporter(settings, log)
    exporting.submit(profile(), start_ns=time.time_ns() - 56 * 60 * SECOND_NS)
    wait_for(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_too_old": 1}
    assert not server.requests
    exporting.close(CLOSE_S)


def test_a_full_queue_drops_the_oldest(server, log, monkeypatch):
    monkeypatch.setattr(outbox, "QUEUE_BYTES", 5 * len(profile()))
    server.always = Fault(status=503)
    exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
    exporting._sender.backoff._resume_at = time.monotonic() + 1
    begin = time.time_ns()
    for each in range(8):
        exporting.submit(profile(), start_ns=begin + each)
    assert dropped(exporting) == {"dropped_queue_full": 3}
    assert [job.start_ns - begin for job in exporting._outbox.queue] == [3, 4, 5, 6, 7]
    exporting.close(0.1)


@pytest.mark.parametrize("place", ["/proc/no/such", "/dev/null/spool", "/sys"])
def test_an_unusable_spool_is_logged_once(place, server, log, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/proc/nowhere")
    server.always = Fault(status=503)
    exporting = Exporter(Settings(server_url=server.url, spool_dir=place), log)
    submit(exporting, 3)
    exporting.close(CLOSE_S)
    assert len([line for line in log.at("warning") if line.startswith("no spool")]) == 1
    assert dropped(exporting) == {"dropped_not_delivered": 3}


def test_nothing_is_logged_under_the_lock(server, settings, monkeypatch):
    """The reader of stderr may be slow, and `submit` must not wait for it."""
    said = []

    def log(level, text):
        said.append((text.split()[-1], exporting._changed._is_owned()))

    monkeypatch.setattr(outbox, "QUEUE_BYTES", len(profile()))
    server.faults.append(Fault(status=503))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    monkeypatch.setattr(exporting._outbox, "take", lambda event: None)
    submit(exporting, 3)
    monkeypatch.undo()
    exporting.close(CLOSE_S)
    submit(exporting)
    assert [word for word, is_owned in said if is_owned] == []
    assert {word for word, _ in said} >= {"again", "them", "end"}


def test_a_fault_of_ours_is_counted_and_delays_no_other_profile(server, settings, log, monkeypatch):
    server.faults.append(Fault(status=503))
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._outbox, "spool", lambda _: 1 / 0)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    monkeypatch.undo()
    submit(exporting)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    assert closed_within(exporting, ANSWERED_S) < 5.0
    assert dropped(exporting) == {"dropped_internal": 1}


def test_a_fault_of_ours_after_a_profiles_end_is_logged_and_counts_no_second_end(
    server, settings, log, monkeypatch
):
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._outbox, "remove_file", lambda _: 1 / 0)
    submit(exporting)
    wait_for(lambda: log.at("error"))
    exporting.close(CLOSE_S)
    assert exporting.counters["pushed_profiles"] == 1
    assert dropped(exporting) == {}
    assert log.at("error") == ["delivery failed: ZeroDivisionError: division by zero"]


def test_a_fault_of_ours_at_an_answer_leaves_the_profile_for_the_end(
    server, settings, log, monkeypatch
):
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._outbox, "book", lambda *_: 1 / 0)
    submit(exporting)
    wait_for(lambda: log.at("error"))
    exporting.close(CLOSE_S)
    assert len(spooled_files(settings)) == exporting.counters["spooled"] == 1


def test_the_worker_outlives_an_error_of_its_own(server, settings, log, monkeypatch):
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._outbox, "take_from_disk", lambda before: 1 / 0)
    submit(exporting)
    wait_for(lambda: log.at("error"))
    monkeypatch.undo()
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    exporting.close(CLOSE_S)
    assert "ZeroDivisionError" in log.at("error")[0]


def test_a_fault_of_ours_in_a_push_counts_as_an_error(server, settings, log, monkeypatch):
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._sender.pusher, "push", lambda *_: 1 / 0)
    submit(exporting)
    wait_for(lambda: exporting.counters.get("failed_pushes"))
    monkeypatch.undo()
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    exporting.close(CLOSE_S)
    assert "ZeroDivisionError" in log.at("warning")[0]


def test_old_and_damaged_files_of_the_spool_are_counted(server, settings, log):
    server.always = Fault(status=503)
    first = Exporter(settings, log)
    submit(first, 2)
    first.close(CLOSE_S)
    old, damaged = spooled_files(settings)
    os.utime(old, (0, 0))
    damaged.write_bytes(damaged.read_bytes()[:-3])
    second = Exporter(settings, log)
    wait_for(lambda: len(dropped(second)) == 2)
    second.close(CLOSE_S)
    assert dropped(second) == {"dropped_too_old": 1, "dropped_spool_damaged": 1}
    assert not spooled_files(settings)


def test_a_fault_of_ours_in_the_last_flush_leaves_profiles_on_disk(
    server, settings, log, monkeypatch
):
    server.always = Fault(status=503)
    exporting = Exporter(settings, log)
    monkeypatch.setattr(
        exporting._outbox, "take_from_disk", lambda before: None
    )  # left for the end
    submit(exporting)
    wait_for(lambda: exporting.counters["spooled"])
    monkeypatch.setattr(exporting._outbox, "take_own", lambda: 1 / 0)
    closed_within(exporting, 0.2)
    assert log.at("error") == ["delivery failed: ZeroDivisionError('division by zero')"]
    assert len(spooled_files(settings)) == 1
