# SPDX-License-Identifier: MIT
"""What the agent's unit tests share.

Context: tests.
"""

import os

import pytest

from tests.support.fake_shim import FakeShim
from tests.support.window_bench import Bench


@pytest.fixture
def bench():
    one = Bench()
    yield one
    one.end()


@pytest.fixture
def shim():
    with FakeShim() as fake:
        fake.serve()
        yield fake


@pytest.fixture
def environ(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("GST_PYROSCOPE_"):
            monkeypatch.delenv(name)

    def put(**settings):
        for name, value in {"spool_dir": str(tmp_path / "spool"), **settings}.items():
            monkeypatch.setenv(f"GST_PYROSCOPE_{name.upper()}", str(value))

    put()
    # A file that cannot stand where it should goes there.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return put
