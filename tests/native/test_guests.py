# SPDX-License-Identifier: MIT
"""Hosts that do odd things while they are sampled (csrc/shim/signal/, csrc/shim/threads/): they must not notice."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCES = ("guests.c", "guest_threads.c", "guest_stacks.c", "guest_events.c", "guest_forks.c")


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in SOURCES for name in harness.tests_in(source)]
)
def test_guests(source: str, name: str) -> None:
    harness.run(harness.program(source), name)


@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_thread_churn_without_races(sanitize: str) -> None:
    path = harness.program("guest_threads.c", sanitize)
    harness.run(path, "two_thousand_short_threads_leave_nothing_behind")


@pytest.mark.sanitizers
def test_forks_with_the_address_sanitizer() -> None:
    path = harness.program("guest_forks.c", "address,undefined")
    harness.run(path, "a_forked_child_is_usable_and_not_profiled")
