# SPDX-License-Identifier: MIT
"""Fixtures of the exporter's tests: short waits, a server of ours, and a log.

Context: tests.
"""

from __future__ import annotations

import contextlib
import socket

import pytest

from gst_pyro_shim.push import backoff, exporter
from gst_pyro_shim.settings.model import Settings
from tests.support.exporting import ANSWERED_S, Log
from tests.support.pyroscope_server import PyroscopeServer


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


@pytest.fixture
def full_backlog():
    """An address that never answers: its queue of connections is full, and nobody accepts any."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(backoff, "MOST_S", 0.1)
    monkeypatch.setattr(exporter, "IDLE_S", 0.2)
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", ANSWERED_S)


@pytest.fixture
def impatient(short_waits, monkeypatch):
    """A server counts as silent after half a second: for tests whose server never answers."""
    monkeypatch.setattr(exporter, "PUSH_TIMEOUT_S", 0.5)
