# SPDX-License-Identifier: MIT
"""A host whose server is away, silent or wrong ends as it would without us, and its samples are not lost.

Context: tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.hosts import HOMES, compile_host, end_of, environment
from tests.support.pyroscope_client import CPU_TYPE
from tests.support.pyroscope_server import Fault, PyroscopeServer, make_certificate
from tests.support.waiting import one_of

pytestmark = [pytest.mark.integration, pytest.mark.fault]


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    return compile_host("plays.c", tmp_path_factory.mktemp("plays"))


def waiting(spool: Path):
    return sorted(spool.rglob("*.push"))


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def server():
    with PyroscopeServer() as running:
        yield running


@pytest.fixture
def profiled(plays, tmp_path):
    """Runs a host until its agent has a sample, and to its end."""

    def profiled(home, url, spool, **settings):
        env = environment("preload", home, server_url=url, spool_dir=str(spool), **settings)
        return end_of(plays, env, tmp_path)

    return profiled


@pytest.mark.parametrize("home", HOMES)
def test_spooled_profiles_are_delivered_by_the_next_run(home, server, spool, profiled):
    server.always = Fault(status=503)
    one_of(lambda: profiled(home, server.url, spool, tracer_name="first"), lambda _: waiting(spool))
    assert not server.stored()
    server.always = None
    # On a busy machine a run may end before all is pushed; the next one delivers the rest.
    one_of(
        lambda: profiled(home, server.url, spool, tracer_name="second"),
        lambda _: (
            not waiting(spool)
            and server.total(CPU_TYPE, service_name="second", element="source") > 0
        ),
    )
    assert server.total(CPU_TYPE, service_name="first", element="source") > 0


@pytest.mark.parametrize("home", HOMES)
def test_the_last_flush_over_https(home, tmp_path, spool, monkeypatch, profiled):
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with PyroscopeServer(certificate=certificate) as server:
        server.always = Fault(delay_s=0.3)
        done = one_of(
            lambda: profiled(home, server.url, spool),
            lambda _: server.stored() and not waiting(spool),
        )
        assert done.status == 0
        assert server.total(CPU_TYPE, element="source") > 0, done.err


def test_an_invalid_certificate_is_reported(tmp_path, spool, profiled):
    with PyroscopeServer(certificate=make_certificate(tmp_path)) as server:
        one_of(
            lambda: profiled("process", server.url, spool),
            lambda done: "certificate verify failed" in done.err and waiting(spool),
        )


def test_wrong_credentials_are_reported_without_showing_them(server, spool, profiled):
    server.always = Fault(status=401, body='{"code":"unauthenticated","message":"no org id"}')
    done = one_of(
        lambda: profiled("embedded", server.url, spool, bearer_token="geheim"),
        lambda done: "HTTP 401: no org id (unauthenticated)" in done.err and waiting(spool),
    )
    assert "geheim" not in done.err
    assert server.requests[0].headers["Authorization"] == "Bearer geheim"


def test_neither_server_nor_spool(profiled, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/proc/nowhere")
    done = profiled("embedded", "http://127.0.0.1:1", Path("/proc/nowhere"))
    assert done.status == 0
    assert "no spool" in done.err
    assert "profile dropped (not_delivered)" in done.err
