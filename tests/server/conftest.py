# SPDX-License-Identifier: MIT
"""The server that these tests push to and ask: the one that GP_TEST_SERVER_URL names, else our own.

Context: tests.
"""

from __future__ import annotations

import os

import pytest

from tests.support.pyroscope_server import PyroscopeServer


@pytest.fixture(scope="module")
def url():
    given = os.environ.get("GP_TEST_SERVER_URL")
    if given:
        yield given
        return
    with PyroscopeServer() as server:
        yield server.url
