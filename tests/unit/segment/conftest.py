# SPDX-License-Identifier: MIT
"""A segment, and the shim's side of it (fake_shim.py).

Context: tests.
"""

import pytest

from gst_pyro_shim.segment.segment import Segment
from tests.support.fake_shim import FakeShim


@pytest.fixture
def shim():
    with FakeShim() as fake:
        yield fake


@pytest.fixture
def segment(shim):
    one = Segment.from_fd(shim.fd)
    yield one
    one.close()
