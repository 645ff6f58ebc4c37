# SPDX-License-Identifier: MIT
"""Waiting for what another thread or process does.

Context: tests.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], timeout_s: float = 5.0, what: str = "it did not happen in time"
) -> None:
    """Until `condition()` holds.

    Raises:
        AssertionError: it does not, within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)
