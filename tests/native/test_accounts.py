# SPDX-License-Identifier: MIT
"""Accounts: how much CPU each thread spent under each label (csrc/shim/labels/account.h)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = [pytest.mark.native, pytest.mark.measured]

SOURCES = ("accounts.c", "account_publish.c", "account_rows.c")


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in SOURCES for name in harness.tests_in(source)]
)
def test_accounts(source: str, name: str) -> None:
    harness.run(harness.program(source), name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("account_publish.c", "accounts_of_a_thread_that_switches_madly_stay_true"),
        ("account_rows.c", "rows_come_back_once_the_agent_has_read_them"),
    ],
)
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_accounts_without_races(source: str, name: str, sanitize: str) -> None:
    harness.run(harness.program(source, sanitize), name)
