# SPDX-License-Identifier: MIT
"""The ring of samples: writers of csrc/shim/signal/ring.h against the reader of csrc/agent/reader.c."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "ring.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_ring(name: str, sanitize: str | None) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)


@pytest.mark.sanitizers
def test_many_writers_do_not_race() -> None:
    harness.run(harness.program(SOURCE, "thread"), "many_writers_and_one_reader_lose_nothing")
