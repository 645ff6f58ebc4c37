# SPDX-License-Identifier: MIT
"""Ticks and samples, and the host's own signals beside them (csrc/shim/threads/sampler.h, csrc/shim/signal/)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = [pytest.mark.native, pytest.mark.measured]

SOURCES = ("sampling.c", "tick_signals.c")


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in SOURCES for name in harness.tests_in(source)]
)
def test_sampling(source: str, name: str) -> None:
    harness.run(harness.program(source), name)
