# SPDX-License-Identifier: MIT
"""Pools: whose label work carries that is handed to a shared worker (csrc/shim/labels/pools.h)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = [pytest.mark.native, pytest.mark.measured]

SOURCE = "pooled.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_pools(name: str, sanitize: str | None) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)
