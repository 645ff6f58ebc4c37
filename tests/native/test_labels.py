# SPDX-License-Identifier: MIT
"""Labels: the stack of each thread, and the rows behind them (csrc/shim/labels/label.h, label_rows.h)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCES = ("labels.c", "label_rows.c")


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source in SOURCES for name in harness.tests_in(source)]
)
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_labels(source: str, name: str, sanitize: str | None) -> None:
    harness.run(harness.program(source, sanitize), name)


def test_labels_end_without_a_race() -> None:
    harness.run(harness.program("label_rows.c", "thread"), "labels_end_while_others_read_them")


def test_a_leak_checker_of_the_hosts_finds_nothing_of_ours() -> None:
    variables = {"ASAN_OPTIONS": "detect_leaks=1:handle_segv=0"}
    path = harness.program("labels.c", "address,undefined")
    harness.run(path, "thousands_of_labels_deep", variables=variables)
    harness.run(path, "a_new_thread_takes_its_creators_element_along", variables=variables)
