# SPDX-License-Identifier: MIT
"""One push: what is sent, to which address, and how the answer is read.

Context: tests.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
import time

import pytest

from gst_pyro_shim.push.attempt import Attempt
from gst_pyro_shim.push.exporter import Exporter
from gst_pyro_shim.push.http1 import connect, receive
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
from tests.support.pyroscope_server import Fault, PyroscopeServer, make_certificate
from tests.support.waiting import wait_for

CPU_TYPE = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"


def test_a_profile_arrives_with_its_labels(server, tmp_path, log):
    settings = Settings(
        server_url=server.url + "/", tracer_name="cam", tags={"site": "north"}, spool_dir=""
    )
    exporting = Exporter(settings, log)
    submit(exporting)
    exporting.submit(profile(7), name="python_cpu", start_ns=time.time_ns())
    exporting.close(ANSWERED_S)
    assert server.total(CPU_TYPE, service_name="cam", site="north", element="e") == 1000
    assert server.total("python_cpu:cpu:nanoseconds:cpu:nanoseconds", service_name="cam") == 7
    assert server.stored()[0].label("pyroscope_spy") == "gst-pyro-shim"
    assert exporting.counters["pushed_profiles"] == 2
    assert exporting.counters["pushed_bytes"] > 200
    assert len(log.at("debug")) == 2


def test_one_profile_a_request_gzipped(server, settings, log):
    exporting = Exporter(settings, log)
    submit(exporting, 3)
    exporting.close(ANSWERED_S)
    assert [len(each.series) for each in server.requests] == [1, 1, 1]
    assert [len(each.series[0].samples) for each in server.requests] == [1, 1, 1]
    assert {each.headers["Content-Encoding"] for each in server.requests} == {"gzip"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"basic_auth_user": "u", "basic_auth_password": "geheim"}, "Basic dTpnZWhlaW0="),
        ({"bearer_token": "geheim"}, "Bearer geheim"),
        ({"url": "http://u:geheim@"}, "Basic dTpnZWhlaW0="),
        ({"http_headers": "X-Key=geheim"}, "geheim"),
    ],
)
def test_credentials_are_sent_and_never_logged(given, expected, server, tmp_path, log):
    server.always = Fault(status=401)
    url = server.url.replace("http://", given.pop("url", "http://"))
    settings = Settings(server_url=url, spool_dir=str(tmp_path / "geheim-not"), **given)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: server.requests)
    exporting.close(CLOSE_S)
    headers = server.requests[0].headers
    assert expected in {headers.get("Authorization"), headers.get("X-Key")}
    everything = " ".join(text for _, text in log.lines) + repr(exporting._sender.pusher.endpoint)
    assert "geheim" not in everything.replace("geheim-not", "")
    assert all(b"geheim" not in file.read_bytes() for file in spooled_files(settings))


REPEATS = "you sent {}, so it is geheim"


@pytest.mark.parametrize(
    ("given", "sent", "body"),
    [
        ({"basic_auth_user": "u", "basic_auth_password": "geheim"}, "Basic dTpnZWhlaW0=", REPEATS),
        ({"bearer_token": "geheim"}, "Bearer geheim", REPEATS),
        ({"url": "http://u:ge%68eim@"}, "Basic dTpnZWhlaW0=", REPEATS),
        ({"http_headers": "X-Key=geheim"}, "geheim", REPEATS),
        (
            {"bearer_token": "geheim"},
            "geheim",
            '{{"code": "c", "message": "you sent {}, so it is g\\u0065heim"}}',
        ),
        ({"bearer_token": "geheim"}, "Bearer geheim", "x" * 294 + "{} geheim"),
    ],
)
def test_secrets_in_a_servers_answer_are_masked(given, sent, body, server, log):
    server.always = Fault(status=422, body=body.format(sent))
    url = server.url.replace("http://", given.pop("url", "http://"))
    exporting = Exporter(Settings(server_url=url, spool_dir="", **given), log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    exporting.close(ANSWERED_S)
    (line,) = log.at("warning")
    assert "***" in line
    assert not re.search("ge|dTpn", line.split("HTTP 422")[1])


def test_tenant_is_sent(server, log):
    exporting = Exporter(Settings(server_url=server.url, tenant_id="team", spool_dir=""), log)
    submit(exporting)
    exporting.close(ANSWERED_S)
    assert server.requests[0].headers["X-Scope-OrgID"] == "team"


def test_ipv6(log):
    try:
        server = PyroscopeServer(host="::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with server:
        exporting = Exporter(Settings(server_url=server.url, spool_dir=""), log)
        submit(exporting)
        exporting.close(ANSWERED_S)
        assert len(server.stored()) == 1
        assert server.requests[0].headers["Host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_addresses_failures_a_timeout_is_reported(order, monkeypatch, full_backlog):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening: refuses
        places = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", place)
            for place in (full_backlog, bound.getsockname())[::order]
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
        with pytest.raises(TimeoutError):
            connect("h", 1, None, time.monotonic() + 0.2, lambda _: None)


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_addresses_failures_no_route_is_reported_last(order, monkeypatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening: refuses
        refuses = (socket.AF_INET, socket.SOCK_STREAM, 0, "", bound.getsockname())
        places = [refuses, (9999, socket.SOCK_STREAM, 0, "", ("::1", 1, 0, 0))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places[::order])
        with pytest.raises(ConnectionRefusedError):
            connect("server", 1, None, time.monotonic() + ANSWERED_S, Attempt().opened)


def test_https(tmp_path, log, monkeypatch):
    certificate = make_certificate(tmp_path)
    with PyroscopeServer(certificate=certificate) as server:
        settings = Settings(server_url=server.url, spool_dir=str(tmp_path / "spool"))
        strange = Exporter(settings, log)
        submit(strange)
        wait_for(lambda: strange.counters.get("failed_pushes"))
        strange.close(CLOSE_S)
        assert "certificate verify failed" in log.at("warning")[0]
        assert not server.requests

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        server.always = Fault(delay_s=0.5)
        trusting = Exporter(settings, log)
        trusting.warm_up()
        wait_for(lambda: server.requests)
        submit(trusting, 19)
        closed_within(trusting, ANSWERED_S)
        assert trusting.counters["pushed_profiles"] == 20
        assert trusting.counters["from_spool"] == 1


def test_an_aborted_push_stays_encrypted(tmp_path):
    certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    attempt = Attempt()
    with PyroscopeServer(certificate=certificate) as server:
        port = int(server.url.rpartition(":")[2])
        deadline = time.monotonic() + ANSWERED_S
        with connect("127.0.0.1", port, context, deadline, attempt.opened) as connection:
            encryption = connection.version()
            attempt.abort()
            assert connection.version() == encryption is not None


def test_nothing_of_openssl_is_loaded_for_http():
    code = (
        "import sys, gst_pyro_shim.push.exporter, gst_pyro_shim.push.attempt as p;"
        "print([m for m in ('ssl', '_ssl', 'hashlib', 'http.client', 'email') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_web_page_is_not_taken_for_a_stored_profile(server, settings, log):
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Please log in</html>"
    server.always = Fault(raw=page)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: exporting.counters.get("failed_pushes"))
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
    wait_for(lambda: dropped(exporting))
    assert "because (invalid_argument)" in log.at("warning")[0]
    exporting.close(ANSWERED_S)


HEAD = b"HTTP/1.1 400 Bad Request\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: " + 5000 * b"9" + b"\r\n\r\nwhy",
        HEAD + b"Content-Length: -1\r\n\r\nwhy",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 5000 * b"f" + b"\r\n",
        HEAD + b"Content-Encoding: gzip\r\n\r\nno gzip",
        HEAD + 60_000 * b"x" + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\n",
        HEAD + b"Content-Length: 9\r\n\r\nwhy",
    ],
)
def test_a_malformed_answer_counts_by_its_status(answer):
    ours, servers = socket.socketpair()
    with ours, servers:
        servers.sendall(answer)
        servers.shutdown(socket.SHUT_WR)
        status, _, _ = receive(ours, time.monotonic() + ANSWERED_S)
    assert status == 400


@pytest.mark.parametrize(
    "answer", [b"HTTP", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_connection_closed_within_the_answer_counts_as_unanswered(answer, server, settings, log):
    server.always = Fault(raw=answer)
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: dropped(exporting))
    assert dropped(exporting) == {"dropped_unconfirmed": 1}
    assert "closed amidst the answer" in log.at("warning")[0]
    exporting.close(ANSWERED_S)


def test_headers_without_an_end_are_given_up(server, settings, log):
    server.always = Fault(raw=b"HTTP/1.1 200 OK\r\n" + 100_000 * b"x")
    exporting = Exporter(settings, log)
    submit(exporting)
    wait_for(lambda: log.at("warning"))
    assert "no end of headers" in log.at("warning")[0]
    exporting.close(ANSWERED_S)
