# SPDX-License-Identifier: MIT
"""Accounts: how much CPU each thread spent under each label (csrc/shim/labels/account.h)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = [pytest.mark.native, pytest.mark.measured]

SOURCE = "accounts.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_accounts(name: str) -> None:
    harness.run(harness.program(SOURCE), name)


@pytest.mark.parametrize(
    "name",
    [
        "closes_of_a_thread_that_switches_madly_stay_true",
        "rows_come_back_once_the_agent_has_read_them",
    ],
)
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_accounts_without_races(name: str, sanitize: str) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)
