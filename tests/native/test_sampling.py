# SPDX-License-Identifier: MIT
"""Ticks and samples, and the host's own signals beside them (csrc/shim/threads/sampler.h, csrc/shim/signal/)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = [pytest.mark.native, pytest.mark.measured]

SOURCE = "sampling.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_sampling(name: str) -> None:
    harness.run(harness.program(SOURCE), name)
