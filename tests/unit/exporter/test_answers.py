# SPDX-License-Identifier: MIT
"""What an answer, or none, means for a profile and for those that wait behind it.

Context: tests.
"""

from __future__ import annotations

import json
import time

import pytest

from gst_pyro_shim.push import attempt, push_job
from gst_pyro_shim.push.answer import Fate, classify
from gst_pyro_shim.push.exporter import Exporter
from gst_pyro_shim.settings.model import Settings
from tests.support.exporting import CLOSE_S, dropped, profile, spooled_files, submit
from tests.support.pyroscope_server import Fault
from tests.support.waiting import wait_for


def test_a_refused_profile_is_dropped_at_once_and_delays_no_other(server, settings, log):
    exporting = Exporter(settings, log)
    now = time.time_ns()
    exporting.submit(profile(sample_type=[("a-b", "count")]), start_ns=now)
    exporting.submit(profile(time_ns=now), start_ns=now + 1)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    assert dropped(exporting) == {"dropped_invalid": 1}
    assert "sample type contains - (invalid_argument)" in log.at("warning")[0]
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_a_profile_that_the_server_cannot_read_is_pushed_a_few_times_only(server, settings, log):
    exporting = Exporter(settings, log)
    now = time.time_ns()
    exporting.submit(profile()[:-9], start_ns=now)
    submit(exporting, 3)
    wait_for(lambda: dropped(exporting) and exporting.counters["pushed_profiles"] == 3)
    assert dropped(exporting) == {"dropped_server_error": 1}
    assert exporting.counters["failed_pushes"] == push_job.MAX_ERRORS
    exporting.close(CLOSE_S)


def test_a_status_of_proxies_alone_is_retried(server, settings, log):
    server.faults.append(Fault(status=520))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    assert exporting.counters["failed_pushes"] == 1
    exporting.close(CLOSE_S)


def test_a_profile_above_the_allowed_burst_is_dropped_after_some_pushes(server, settings, log):
    exporting = Exporter(settings, log)
    submit(exporting, size=2500)
    wait_for(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_throttled": 1}
    assert "push rate limit (4.0 MiB) exceeded" in " ".join(log.at("warning"))
    exporting.close(CLOSE_S)


def test_after_429_the_next_push_waits_for_the_servers_reset(server, settings, log):
    reset = int(time.time() + 2)
    reset_at = time.monotonic() + reset - time.time()
    reset_text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(reset))
    text = f"limit of 1 GB/day reached, next reset at {reset_text}"
    body = json.dumps({"code": "resource_exhausted", "message": text})
    server.faults.append(Fault(status=429, body=body))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    assert server.requests[1].at > reset_at - 0.1
    exporting.close(CLOSE_S)


def test_a_sent_but_unanswered_profile_is_sent_once_more_at_most(server, settings, log, impatient):
    server.always = Fault(hang=True, stores=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_unconfirmed": 1}
    assert exporting.counters["unconfirmed"] == 2
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_a_connection_closed_at_once_counts_as_not_stored(server, settings, log, monkeypatch):
    monkeypatch.setattr(attempt, "HANG_UP_S", 60.0)  # on a busy machine the answer may take long
    server.faults.extend([Fault(close=True)] * 3)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 1)
    assert dropped(exporting) == {}
    assert exporting.counters["failed_pushes"] == 3
    assert len(log.at("warning")) == 1
    exporting.close(CLOSE_S)


def test_a_connection_closed_later_counts_as_unanswered(server, settings, log, monkeypatch):
    monkeypatch.setattr(attempt, "HANG_UP_S", 0.0)
    server.always = Fault(close=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_unconfirmed": 1}
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_504_counts_as_unanswered(server, settings, log):
    server.always = Fault(status=504)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


CONNECT = '{"code": "unauthenticated", "message": "no org id"}'
HTML = "<html>Found</html>"
FATES = {
    # Pyroscope's own answers about the profile.
    Fate.REFUSED: [(400, CONNECT), *((status, "") for status in (301, 308, 413, 415, 422, 501))],
    # Gateways whose server restarts or is away. Traefik's 404 equals Pyroscope's own.
    Fate.RETRY: [
        *((status, HTML) for status in (302, 303, 307, 405, 410, 421, 425, 502, 503)),
        (404, "404 page not found\n"),
    ],
    Fate.SERVER_ERROR: [(400, HTML), *((status, "") for status in (429, 499, 500, 507, 520, 530))],
    Fate.UNCONFIRMED: [(408, ""), (504, HTML)],
    Fate.PAUSE: [(401, CONNECT), (403, "RBAC: access denied"), (407, "")],
}


@pytest.mark.parametrize("fate", FATES)
def test_what_an_answer_means_for_the_profile(fate):
    for status, body in FATES[fate]:
        answer = classify(status, {}, body.encode())
        assert answer.fate is fate, (status, body)
        assert answer.text.startswith(f"HTTP {status}")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (CONNECT, "no org id (unauthenticated)"),
        ('{"message": "no org id", "code": 16}', "no org id"),
        *((text, text) for text in ("{}", '{"message":5}', "[]", '"text"', "text")),
    ],
)
def test_the_servers_message_is_shown_in_any_form(body, says):
    assert classify(422, {}, body.encode()).text == f"HTTP 422: {says}"


def test_wrong_credentials_pause_pushes_and_are_logged_once(server, settings, log):
    server.always = Fault(status=401, body=CONNECT)
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    wait_for(lambda: len(server.requests) >= 3)
    exporting.close(CLOSE_S)
    assert len(log.at("error")) == 1
    assert "HTTP 401: no org id (unauthenticated)" in log.at("error")[0]
    assert "profiles wait in " in log.at("error")[0]
    assert dropped(exporting) == {}
    assert len(spooled_files(settings)) == 3


def test_a_redirect_for_good_is_neither_followed_nor_retried(server, settings, log):
    server.always = Fault(status=308, headers=(("Location", "http://127.0.0.1:1/"),))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    assert len(server.requests) == 1
    exporting.close(CLOSE_S)
    assert "HTTP 308" in log.at("warning")[0]


@pytest.mark.parametrize(
    ("status", "body"), [(403, "RBAC: access denied"), (404, "404 page not found\n"), (400, HTML)]
)
def test_a_gateways_answer_while_its_server_restarts_loses_no_profile(
    status, body, server, settings, log
):
    server.faults.extend([Fault(status=status, body=body)] * 4)
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    wait_for(lambda: exporting.counters["pushed_profiles"] == 3)
    exporting.close(CLOSE_S)
    assert dropped(exporting) == {}
    assert exporting.counters["failed_pushes"] == 4
    said = log.at("warning", "error")
    assert len(said) == 1
    assert f"HTTP {status}" in said[0]
    assert not spooled_files(settings)


@pytest.mark.parametrize("status", [403, 404])
def test_a_gateways_answer_at_the_end_leaves_profiles_for_the_next_run(
    status, server, settings, log
):
    server.always = Fault(status=status)
    first = Exporter(settings, log)
    submit(first, 3)
    first.close(30.0)
    assert len(spooled_files(settings)) == first.counters["spooled"] == 3
    server.always = None
    second = Exporter(settings, log)
    wait_for(lambda: second.counters["pushed_profiles"] == 3)
    second.close(CLOSE_S)
    assert not spooled_files(settings)


def test_at_a_wrong_url_profiles_are_dropped_at_the_age_limit(server, log):
    """The profile is retried until no server would take it, by its age."""
    server.always = Fault(status=404, body="404 page not found\n")
    settings = Settings(server_url=server.url, spool_dir="")
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters.get("failed_pushes", 0) > 2)
    assert dropped(exporting) == {}
    exporting._sender.max_age_s = 0.0  # as after 55 minutes
    wait_for(lambda: dropped(exporting))
    exporting.close(CLOSE_S)
    assert dropped(exporting) == {"dropped_too_old": 1}
    assert "HTTP 404: 404 page not found (a gateway whose server is away, or a URL" in " ".join(
        log.at("warning")
    )


def _outside(minutes):
    """The server's answer about a profile that began this many minutes after its ingestion window."""
    start = "2026-11-23 03:20:12.661 +0000 UTC"
    end = f"2026-11-23 03:{20 - minutes:02d}:12.66 +0000 UTC"
    text = (
        f"profile with labels '{{}}' is outside of ingestion window (profile timestamp: {start},"
        f" the ingestion window starts at 2026-11-23 02:09:12.662 +0000 UTC and ends at {end})"
    )
    return json.dumps({"code": "invalid_argument", "message": text}).encode()


def test_a_profile_from_a_clock_that_is_ahead_waits_until_the_server_takes_it():
    answer = classify(400, {}, _outside(5))
    assert (answer.fate, answer.reason) == (Fate.RETRY, "ahead")
    assert answer.wait_s == pytest.approx(300, abs=0.01)
    assert answer.text.endswith("(this host's clock is ahead of the server's)")


def test_a_profile_from_a_clock_that_is_behind_is_refused():
    answer = classify(400, {}, _outside(-5))
    assert (answer.fate, answer.reason) == (Fate.REFUSED, "invalid")
