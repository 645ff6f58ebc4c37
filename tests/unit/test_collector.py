# SPDX-License-Identifier: MIT
"""python/collector.py, python/push_request.py: which pushes are taken and which refused, and how that is reported.

Context: test.
"""

import base64
import gzip
import http.client
import json
import socket
import threading
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from gst_pyro_shim.pprof.decode import decode
from gst_pyro_shim.pprof.encode import encode
from gst_pyro_shim.pprof.schema import PushRequest
from gst_pyro_shim.protocol import PUSH_PATH, TOKEN_HEADER
from gst_pyro_shim.python import collector as collector_module
from gst_pyro_shim.python.collector import Collector
from tests.support import profiles
from tests.support.waiting import Waited, wait_for


class Taking(Collector):
    """A collector that adds up the CPU time that is pushed to it."""

    def __init__(self):
        self._taken = []
        super().__init__(self._add)

    def _add(self, _name, raw):
        self._taken.extend(one.cpu_ns for one in decode(raw).samples)

    @property
    def cpu_ns(self):
        return sum(self._taken)


@pytest.fixture
def collector():
    with Taking() as one:
        one.start()
        yield one


def _request(*profiles_given, name="process_cpu"):
    request = PushRequest()
    series = request.series.add()
    series.labels.add(name="__name__", value=name)
    for profile in profiles_given:
        series.samples.add(raw_profile=profile)
    return request.SerializeToString()


def _post(collector, body, path=PUSH_PATH, **headers):
    given = {TOKEN_HEADER: collector.token, "Content-Type": "application/proto"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(urlsplit(collector.url).netloc, timeout=60)
    try:
        connection.request("POST", path, body, given)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _settle(collector):
    """Waits until the profiles are taken: the answer comes before that."""
    wait_for(lambda: not collector.is_busy)


DEMO = encode(profiles.demo())
DEMO_NS = 3_000_000_000


@pytest.mark.parametrize("inner", [bytes, gzip.compress])
@pytest.mark.parametrize("outer", ["identity", "gzip"])
def test_plain_and_gzipped_pushes_are_taken(collector, inner, outer):
    body = _request(inner(DEMO))
    if outer == "gzip":
        body = gzip.compress(body)
    assert _post(collector, body, Content_Encoding=outer) == (200, b"")
    _settle(collector)
    assert collector.cpu_ns == DEMO_NS
    assert collector.problems.texts == []


def test_json_is_taken(collector):
    sample = {"ID": "x", "rawProfile": base64.b64encode(DEMO).decode(), "more": 1}
    label = {"name": "__name__", "value": "process_cpu"}
    body = json.dumps({"series": [{"labels": [label], "samples": [sample]}]}).encode()
    assert _post(collector, body, Content_Type="application/json; charset=utf-8") == (200, b"{}")
    _settle(collector)
    assert collector.cpu_ns == DEMO_NS


def test_pushes_of_many_threads_are_taken(collector):
    def push():
        for _ in range(5):
            assert _post(collector, _request(DEMO, DEMO))[0] == 200

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _settle(collector)
    assert collector.cpu_ns == 80 * DEMO_NS


def test_a_fault_of_ours_is_reported_and_loses_no_other_profile():
    taken = []

    def take(name, raw):
        if raw == b"bad":
            raise KeyError(raw)
        taken.append(raw)

    with Collector(take) as collector:
        collector.start()
        assert _post(collector, _request(b"bad", b"good"))[0] == 200
        _settle(collector)
    assert taken == [b"good"]
    assert collector.problems.texts == ["A profile was lost (KeyError: b'bad')."]
    assert collector.problems.counters == {"dropped_unreadable": 1}


def test_json_that_is_too_deep_is_refused(collector):
    status, _ = _post(collector, b"[" * 100_000, Content_Type="application/json")
    assert status == 400
    assert "could not be parsed" in collector.problems.texts[0]


@pytest.mark.parametrize("token", ["", "guess", "caf\u00e9"])
def test_without_the_token_nothing_is_taken(collector, token):
    status, body = _post(collector, _request(DEMO), **{TOKEN_HEADER: token})
    assert (status, json.loads(body)["code"]) == (401, "unauthenticated")
    assert collector.problems.texts == ["a push without this run's token was refused"]
    assert collector.problems.counters == {"refused_pushes": 1}
    assert collector.cpu_ns == 0


def test_each_collector_has_a_token_of_its_own(collector):
    with Taking() as other:
        assert len({collector.token, other.token}) == 2
        assert collector.url != other.url


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"\xff\xff", {}, 400, "could not be parsed"),
        (b"", {}, 400, "no profiles received"),
        (PushRequest(series=[{}]).SerializeToString(), {}, 400, "no profiles received"),
        (b"x", {"Content_Type": "text/plain"}, 415, "text/plain"),
        (b"x", {"Content_Encoding": "br"}, 501, 'unknown compression "br"'),
        (b"no gzip at all", {"Content_Encoding": "gzip"}, 400, "damaged"),
        (gzip.compress(DEMO)[:-9], {"Content_Encoding": "gzip"}, 400, "cut off"),
        (gzip.compress(bytes(17 << 20)), {"Content_Encoding": "gzip"}, 400, "too large"),
        (b"{", {"Content_Type": "application/json"}, 400, "could not be parsed"),
        (b"[]", {"Content_Type": "application/json"}, 400, "could not be parsed"),
        (b'{"series": 3}', {"Content_Type": "application/json"}, 400, "could not be parsed"),
    ],
)
def test_a_malformed_push_is_refused_as_the_server_does(collector, body, headers, status, says):
    answered, text = _post(collector, body, **headers)
    error = json.loads(text)
    assert answered == status
    assert says in error["message"]
    assert set(error) == {"code", "message"}
    assert _post(collector, body, **headers)[0] == status
    assert collector.problems.texts == [error["message"]]
    assert collector.problems.counters == {"refused_pushes": 2}


def test_a_body_that_is_too_large_is_not_read(collector):
    connection = http.client.HTTPConnection(urlsplit(collector.url).netloc, timeout=60)
    connection.putrequest("POST", PUSH_PATH)
    connection.putheader(TOKEN_HEADER, collector.token)
    connection.putheader("Content-Type", "application/proto")
    connection.putheader("Content-Length", str(1 << 30))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 429
    assert json.loads(answer.read())["code"] == "resource_exhausted"
    connection.close()


def test_a_damaged_profile_is_a_problem_and_no_harm(collector):
    assert _post(collector, _request(b"\x1f\x8bxx", DEMO))[0] == 200
    _settle(collector)
    assert collector.cpu_ns == DEMO_NS
    (problem,) = collector.problems.texts
    assert "gzip data is damaged" in problem
    assert collector.problems.counters == {"dropped_unreadable": 1}


def test_a_push_that_never_ends_is_counted(collector, monkeypatch):
    monkeypatch.setattr(collector_module._Handler, "timeout", 0.1)
    address = urlsplit(collector.url)
    with socket.create_connection((address.hostname, address.port)) as stalled:
        head = f"POST {PUSH_PATH} HTTP/1.1\r\n{TOKEN_HEADER}: {collector.token}\r\n"
        stalled.sendall(
            f"{head}Content-Type: application/proto\r\nContent-Length: 9\r\n\r\nx".encode()
        )
        assert stalled.recv(4096) == b""
    _settle(collector)
    assert collector.problems.counters == {"refused_pushes": 1}
    assert collector.problems.texts == ["a push broke off (TimeoutError: timed out)"]


def test_texts_are_bounded_and_counts_are_not(collector):
    for number in range(150):
        collector.problems.add("refused_pushes", f"problem {number}")
    assert len(collector.problems.texts) == 100
    assert collector.problems.counters == {"refused_pushes": 150}


def test_other_paths(collector):
    assert _post(collector, b"", path="/ingest")[0] == 404
    connection = http.client.HTTPConnection(urlsplit(collector.url).netloc, timeout=60)
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"ready")
    connection.request("GET", "/")
    assert connection.getresponse().status == 404
    connection.close()


def test_it_listens_on_loopback_only(collector):
    assert urlsplit(collector.url).hostname == "127.0.0.1"


def test_closing_does_not_wait_for_idle_connections():
    running = ExitStack()
    collector = running.enter_context(Taking())
    collector.start()
    address = urlsplit(collector.url)
    with socket.create_connection((address.hostname, address.port)), Waited() as waited:
        running.close()
    assert waited.seconds < 1.0


def test_a_broken_connection_prints_nothing(collector, capfd):
    address = urlsplit(collector.url)
    with socket.create_connection((address.hostname, address.port)) as broken:
        head = f"POST {PUSH_PATH} HTTP/1.1\r\n{TOKEN_HEADER}: {collector.token}\r\n"
        broken.sendall(
            f"{head}Content-Type: application/proto\r\nContent-Length: 9\r\n\r\nx".encode()
        )
        broken.shutdown(socket.SHUT_WR)
        assert b"400" in broken.recv(4096)
    assert _post(collector, _request(DEMO))[0] == 200
    assert collector.problems.texts == ["a push was cut off"]
    assert capfd.readouterr() == ("", "")
