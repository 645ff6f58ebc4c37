# SPDX-License-Identifier: MIT
"""Hosts that do odd things while they are sampled (csrc/shim/signal/, csrc/shim/threads/): they must not notice."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "guests.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_guests(name: str) -> None:
    harness.run(harness.program(SOURCE), name)


@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_thread_churn_without_races(sanitize: str) -> None:
    harness.run(
        harness.program(SOURCE, sanitize), "two_thousand_short_threads_leave_nothing_behind"
    )


@pytest.mark.sanitizers
def test_forks_with_the_address_sanitizer() -> None:
    harness.run(
        harness.program(SOURCE, "address,undefined"), "a_forked_child_is_usable_and_not_profiled"
    )
