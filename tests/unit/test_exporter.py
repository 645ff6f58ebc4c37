# SPDX-License-Identifier: MIT
"""What becomes of a profile that is handed to the exporter, however the server behaves.

Context: tests.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from gst_pyro_shim import backoff, exporter, outbox
from gst_pyro_shim.config import Settings
from gst_pyro_shim.errors import ConfigError
from gst_pyro_shim.exporter import Exporter
from tests.pprof_writer import SECOND_NS, pprof
from tests.pyroscope_server import Fault, PyroscopeServer, make_certificate

CPU_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
CLOSE_S = 1.0
SLACK_S = 0.5
"""How much later than its deadline a thread of a busy machine may come back."""


class Log:
    """Collects what was said."""

    def __init__(self):
        self.lines = []

    def __call__(self, level, text):
        self.lines.append((level, text))

    def at(self, *levels):
        return [text for level, text in self.lines if level in levels]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def server():
    with PyroscopeServer() as running:
        yield running


@pytest.fixture
def settings(server, tmp_path):
    return Settings(server_url=server.url, spool_dir=str(tmp_path / "spool"))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(backoff, "MOST_S", 0.1)
    monkeypatch.setattr(exporter, "IDLE_S", 0.2)
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 0.5)


def profile(value=1000, **arguments):
    sample = {"stack": ["leaf", "main"], "value": [value], "labels": {"element": "e"}}
    return pprof([sample], **arguments)


def submit(exporting, count=1, size=0):
    for _ in range(count):
        now = time.time_ns()
        exporting.submit(profile(time_ns=now, pad_strings=size), start_ns=now)


def wait_until(predicate, seconds=5.0):
    end = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def closed_within(exporting, deadline_s=CLOSE_S):
    begin = time.monotonic()
    exporting.close(deadline_s)
    took = time.monotonic() - begin
    assert took < deadline_s + SLACK_S
    return took


def dropped(exporting):
    return {k: v for k, v in exporting.counters.items() if k.startswith("dropped_") and v}


def spooled_files(settings):
    from pathlib import Path

    return sorted(Path(settings.spool_dir).rglob("*.push"))


def test_a_profile_arrives_with_its_labels(server, tmp_path, log):
    settings = Settings(
        server_url=server.url + "/", tracer_name="cam", tags={"site": "north"}, spool_dir=""
    )
    exporting = Exporter(settings, log)
    submit(exporting)
    exporting.submit(profile(7), name="python_cpu", start_ns=time.time_ns())
    exporting.close(CLOSE_S)
    assert server.total(CPU_TYPE, service_name="cam", site="north", element="e") == 1000
    assert server.total("python_cpu:cpu:nanoseconds:cpu:nanoseconds", service_name="cam") == 7
    assert server.stored()[0].label("pyroscope_spy") == "gst-pyro-shim"
    assert exporting.counters["pushed_profiles"] == 2
    assert exporting.counters["pushed_bytes"] > 200
    assert len(log.at("debug")) == 2


def test_one_profile_a_request_gzipped(server, settings, log):
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    exporting.close(CLOSE_S)
    assert [len(each.series) for each in server.requests] == [1, 1, 1]
    assert [len(each.series[0].samples) for each in server.requests] == [1, 1, 1]
    assert {each.headers["Content-Encoding"] for each in server.requests} == {"gzip"}


def test_submit_does_not_wait_for_a_hanging_server(server, settings, log):
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    begin = time.monotonic()
    submit(exporting, 20)
    assert time.monotonic() - begin < 0.1
    exporting.close(0.5)


def test_twenty_answers_of_half_a_second_take_less_than_one(server, settings, log, monkeypatch):
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 5.0)
    server.always = Fault(delay_s=0.5)
    exporting = Exporter(settings, log)
    submit(exporting, 20, size=100)
    assert closed_within(exporting) < 1.0
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


def test_an_answer_at_the_last_moment_leaves_nothing_on_disk(server, settings, log, monkeypatch):
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 5.0)
    server.always = Fault(delay_s=0.7)
    exporting = Exporter(settings, log)
    submit(exporting, 10)
    closed_within(exporting)
    assert exporting.counters["pushed_profiles"] == 10
    assert exporting.counters["spooled"] == exporting.counters["from_spool"] == 0
    assert not spooled_files(settings)


def test_the_spool_is_delivered_when_the_server_is_back(server, settings, log):
    server.faults.extend([Fault(status=503)] * 3)
    exporting = Exporter(settings, log)
    submit(exporting, 5)
    wait_until(lambda: exporting.counters["pushed_profiles"] == 5)
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
    wait_until(lambda: second.counters["pushed_profiles"] == 3)
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
            wait_until(lambda second=second: second.counters["pushed_profiles"] == 1)
            second.close(CLOSE_S)
        assert len(other.stored()) == 1
    assert len(spooled_files(settings)) == 3


def test_without_a_spool_profiles_wait_in_memory(server, log):
    server.faults.extend([Fault(status=502), Fault(status=500), Fault(status=429)])
    exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
    submit(exporting, 4)
    wait_until(lambda: exporting.counters["pushed_profiles"] == 4)
    assert server.total(CPU_TYPE) == 4000
    exporting.close(CLOSE_S)


def test_a_refused_profile_is_dropped_at_once_and_holds_up_nobody(server, settings, log):
    exporting = Exporter(settings, log)
    now = time.time_ns()
    exporting.submit(profile(sample_type=[("a-b", "count")]), start_ns=now)
    exporting.submit(profile(time_ns=now), start_ns=now + 1)
    wait_until(lambda: exporting.counters["pushed_profiles"] == 1)
    assert dropped(exporting) == {"dropped_invalid": 1}
    assert "sample type contains - (invalid_argument)" in log.at("warning")[0]
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_what_the_server_cannot_read_is_tried_a_few_times_only(server, settings, log):
    exporting = Exporter(settings, log)
    now = time.time_ns()
    exporting.submit(profile()[:-9], start_ns=now)
    submit(exporting, 3)
    wait_until(lambda: dropped(exporting) and exporting.counters["pushed_profiles"] == 3)
    assert dropped(exporting) == {"dropped_server_error": 1}
    assert exporting.counters["failed_pushes"] == exporter.MAX_ERRORS
    exporting.close(CLOSE_S)


def test_a_profile_above_the_burst_is_not_pushed_for_ever(server, settings, log):
    exporting = Exporter(settings, log)
    submit(exporting, size=2500)
    wait_until(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_throttled": 1}
    assert "push rate limit (4.0 MiB) exceeded" in " ".join(log.at("warning"))
    exporting.close(CLOSE_S)


def test_429_is_waited_out_as_long_as_the_server_says(server, settings, log):
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    text = f"limit of 1 GB/day reached, next reset at {reset}"
    body = json.dumps({"code": "resource_exhausted", "message": text})
    server.faults.append(Fault(status=429, body=body))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: exporting.counters["pushed_profiles"] == 1)
    assert server.requests[1].at - server.requests[0].at > 0.9
    exporting.close(CLOSE_S)


def test_a_sent_but_unanswered_profile_is_sent_once_more_at_most(server, settings, log):
    server.always = Fault(hang=True, stores=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_unconfirmed": 1}
    assert exporting.counters["unconfirmed"] == 2
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_504_counts_as_unanswered(server, settings, log):
    server.always = Fault(status=504)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: dropped(exporting))
    assert len(server.requests) == 2
    exporting.close(CLOSE_S)


def test_what_close_gave_up_on_is_known_as_unconfirmed_at_the_next_start(server, settings, log):
    server.always = Fault(hang=True)
    first = Exporter(settings, log)
    submit(first)
    wait_until(lambda: server.requests)
    first.close(0.2)
    assert "-u1-" in spooled_files(settings)[0].name
    second = Exporter(settings, log)
    wait_until(lambda: dropped(second))
    assert dropped(second) == {"dropped_unconfirmed": 1}
    second.close(CLOSE_S)


def test_a_server_known_to_be_silent_does_not_hold_up_the_end(server, settings, log):
    server.always = Fault(hang=True)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: exporting.counters.get("unconfirmed"))
    submit(exporting, 10)
    assert closed_within(exporting) < 0.5
    # The first may have been under way for the second time.
    assert len(spooled_files(settings)) + sum(dropped(exporting).values()) == 11


def test_wrong_credentials_pause_and_are_said_once(server, settings, log):
    server.always = Fault(status=401, body='{"code":"unauthenticated","message":"no org id"}')
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    wait_until(lambda: len(server.requests) >= 3)
    exporting.close(CLOSE_S)
    assert len(log.at("error")) == 1
    assert "HTTP 401: no org id (unauthenticated)" in log.at("error")[0]
    assert len(spooled_files(settings)) == 3


@pytest.mark.parametrize("status", [301, 403, 404, 405, 413, 415, 501])
def test_what_never_succeeds_is_not_retried(status, server, settings, log):
    server.always = Fault(status=status, headers=(("Location", "http://127.0.0.1:1/"),))
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: dropped(exporting))
    assert len(server.requests) == 1
    exporting.close(CLOSE_S)
    assert f"HTTP {status}" in log.at("warning")[0]


def test_a_web_page_is_not_taken_for_a_stored_profile(server, settings, log):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Please log in</html>"
    server.always = Fault(raw=page)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: exporting.counters.get("failed_pushes"))
    exporting.close(CLOSE_S)
    assert exporting.counters["pushed_profiles"] == 0
    assert len(spooled_files(settings)) == 1


def test_chunked_answers_are_read(server, settings, log):
    text = b'{"code":"invalid_argument","message":"because"}'
    answer = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer += b"%x\r\n%s\r\n%x;a=b\r\n%s\r\n0\r\n\r\n" % (9, text[:9], len(text) - 9, text[9:])
    server.always = Fault(raw=answer)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: dropped(exporting))
    assert "because (invalid_argument)" in log.at("warning")[0]
    exporting.close(CLOSE_S)


def test_an_old_profile_is_dropped_unsent(server, settings, log):
    exporting = Exporter(settings, log)
    exporting.submit(profile(), start_ns=time.time_ns() - 56 * 60 * SECOND_NS)
    wait_until(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_too_old": 1}
    assert not server.requests
    exporting.close(CLOSE_S)


def test_a_full_queue_drops_the_oldest(server, log, monkeypatch):
    monkeypatch.setattr(outbox, "QUEUE_BYTES", 5 * len(profile()))
    server.always = Fault(status=503)
    exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
    exporting._backoff._resume_at = time.monotonic() + 1
    begin = time.time_ns()
    for each in range(8):
        exporting.submit(profile(), start_ns=begin + each)
    assert dropped(exporting) == {"dropped_queue_full": 3}
    assert [item.start_ns - begin for item in exporting._box.queue] == [3, 4, 5, 6, 7]
    exporting.close(0.1)


@pytest.mark.parametrize("place", ["/proc/no/such", "/dev/null/spool", "/sys"])
def test_an_unusable_spool_is_said_once(place, server, log):
    server.always = Fault(status=503)
    exporting = Exporter(Settings(server_url=server.url, spool_dir=place), log)
    submit(exporting, 3)
    exporting.close(CLOSE_S)
    assert len([line for line in log.at("warning") if line.startswith("no spool")]) == 1
    assert dropped(exporting) == {"dropped_not_delivered": 3}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"basic_auth_user": "u", "basic_auth_password": "geheim"}, "Basic dTpnZWhlaW0="),
        ({"bearer_token": "geheim"}, "Bearer geheim"),
        ({"url": "http://u:geheim@"}, "Basic dTpnZWhlaW0="),
        ({"http_headers": "X-Key=geheim"}, "geheim"),
    ],
)
def test_credentials_are_sent_and_never_said(given, expected, server, tmp_path, log):
    server.always = Fault(status=401)
    url = server.url.replace("http://", given.pop("url", "http://"))
    settings = Settings(server_url=url, spool_dir=str(tmp_path / "geheim-not"), **given)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_until(lambda: server.requests)
    exporting.close(CLOSE_S)
    headers = server.requests[0].headers
    assert expected in {headers.get("Authorization"), headers.get("X-Key")}
    everything = " ".join(text for _, text in log.lines) + repr(exporting._pusher.endpoint)
    assert "geheim" not in everything.replace("geheim-not", "")
    assert all(b"geheim" not in file.read_bytes() for file in spooled_files(settings))


def test_tenant_is_sent(server, log):
    exporting = Exporter(Settings(server_url=server.url, tenant_id="team", spool_dir=""), log)
    submit(exporting)
    exporting.close(CLOSE_S)
    assert server.requests[0].headers["X-Scope-OrgID"] == "team"


def test_a_url_that_cannot_be_used_is_a_config_error(log):
    for url in ("ftp://x", "http://", "http://x:port", "4040"):
        with pytest.raises(ConfigError):
            Exporter(Settings.model_construct(server_url=url), log)


def test_ipv6(log):
    try:
        server = PyroscopeServer(host="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with server:
        exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
        submit(exporting)
        exporting.close(CLOSE_S)
        assert len(server.stored()) == 1
        assert server.requests[0].headers["Host"] == server.url.removeprefix("http://")


def test_https(tmp_path, log, monkeypatch):
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 5.0)
    certificate = make_certificate(tmp_path)
    with PyroscopeServer(certificate=certificate) as server:
        settings = Settings(server_url=server.url, spool_dir=str(tmp_path / "spool"))
        strange = Exporter(settings, log)
        submit(strange)
        wait_until(lambda: strange.counters.get("failed_pushes"))
        strange.close(CLOSE_S)
        assert "certificate verify failed" in log.at("warning")[0]
        assert not server.requests

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server.always = Fault(delay_s=0.5)
        trusting = Exporter(settings, log)
        trusting.warm_up()
        wait_until(lambda: server.requests)
        submit(trusting, 19)
        closed_within(trusting)
        assert trusting.counters["pushed_profiles"] == 20
        assert trusting.counters["from_spool"] == 1


def test_nothing_of_openssl_is_loaded_for_http():
    code = (
        "import sys, gst_pyro_shim.exporter, gst_pyro_shim.push as p;"
        "print([m for m in ('ssl', '_ssl', 'hashlib', 'http.client', 'email') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


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

    wait_until(lambda: not ours())


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


def test_the_worker_outlives_an_error_of_its_own(server, settings, log, monkeypatch):
    exporting = Exporter(settings, log)
    monkeypatch.setattr(exporting._box, "next_on_disk", lambda before: 1 / 0)
    submit(exporting)
    wait_until(lambda: log.at("error"))
    monkeypatch.undo()
    wait_until(lambda: exporting.counters["pushed_profiles"] == 1)
    exporting.close(CLOSE_S)
    assert "ZeroDivisionError" in log.at("error")[0]


TROUBLES = [
    *(Fault(status=status) for status in (429, 500, 502, 503)),
    Fault(raw=b"SSH-2.0-OpenSSH\r\n"),
    Fault(close=True),
    Fault(close=True, stores=True),
    Fault(status=504, stores=True),
    Fault(delay_s=0.8),
    *[Fault()] * 6,
]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_profile_is_accounted_for(seed, server, settings, log):
    """Processes that share a spool, a server in changing moods, and ends at any moment."""
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
    wait_until(lambda: not spooled_files(settings), 10)
    last.close(CLOSE_S)
    counts.update(last.counters)
    stored = Counter(profile.label("element") for profile in server.stored())
    lost = submitted - len(stored)
    assert lost <= sum(count for name, count in counts.items() if name.startswith("dropped_"))
    assert max(stored.values()) <= 2
    assert counts["pushed_profiles"] <= sum(stored.values())
