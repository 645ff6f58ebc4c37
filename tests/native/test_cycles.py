# SPDX-License-Identifier: MIT
"""The cycle counter's rate, and accounts where the counter leaps (base/cycle_counter.c, labels/account.c)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "cycles.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_cycles(name: str) -> None:
    harness.run(harness.program(SOURCE), name)
