# SPDX-License-Identifier: MIT
"""The handler's use of stack stays within what csrc/thread.h allows it (GP_UNWIND_STACK_BYTES)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "stack_budget.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_stack_budget(name: str) -> None:
    harness.run(harness.program(SOURCE), name)
