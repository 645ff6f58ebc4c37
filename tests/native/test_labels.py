# SPDX-License-Identifier: MIT
"""Labels: who is running, on each thread (csrc/shim/labels/label.h)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "labels.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_labels(name: str, sanitize: str | None) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)


def test_labels_end_without_a_race() -> None:
    harness.run(harness.program(SOURCE, "thread"), "labels_end_while_others_look")


def test_a_leak_checker_of_the_hosts_finds_nothing_of_ours() -> None:
    variables = {"ASAN_OPTIONS": "detect_leaks=1:handle_segv=0"}
    path = harness.program(SOURCE, "address,undefined")
    harness.run(path, "thousands_of_labels_deep", variables=variables)
    harness.run(path, "a_new_thread_takes_its_creators_element_along", variables=variables)
