# SPDX-License-Identifier: MIT
"""What the agent's unit tests share.

Context: tests.
"""

import pytest

from tests.support.window_bench import Bench


@pytest.fixture
def bench():
    one = Bench()
    yield one
    one.end()
