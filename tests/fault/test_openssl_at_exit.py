# SPDX-License-Identifier: MIT
"""A process that exits while pushes over https are under way.

Context: tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pyroscope_server import PyroscopeServer, make_certificate

pytestmark = pytest.mark.fault

# Not Python's own exit, which waits for nobody inside OpenSSL: that of a C host.
EXIT = """
import ctypes, sys, threading, time
from gst_pyro_shim.agent.openssl_exit import forbid_exit_handler
if not forbid_exit_handler():
    sys.exit(77)
from gst_pyro_shim.settings.model import Settings
from gst_pyro_shim.push.endpoint import Endpoint
from gst_pyro_shim.push.attempt import Attempt, Pusher
pusher = Pusher(Endpoint.of(Settings(server_url=sys.argv[1])))
pusher.warm_up()
pushed = []
def work():
    while True:
        pushed.append(pusher.push(b"x" * 100, 60.0, Attempt()))
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
while len(pushed) < 20:
    time.sleep(0.01)
ctypes.CDLL(None).exit(0)
"""
RUNS = 8
"""Without the remedy four in ten crash."""


def test_exit_with_threads_inside_openssl(tmp_path):
    certificate = make_certificate(tmp_path)
    env = dict(os.environ, SSL_CERT_FILE=str(certificate))
    with PyroscopeServer(certificate=certificate) as server:
        ends = [
            subprocess.run(
                [sys.executable, "-c", EXIT, server.url],
                env=env,
                cwd=Path(__file__).parents[2],
                timeout=100,
                check=False,
            ).returncode
            for _ in range(RUNS)
        ]
    if ends == [77] * RUNS:
        pytest.skip("this Python's OpenSSL is part of it")
    assert ends == [0] * RUNS
