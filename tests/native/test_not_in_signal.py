# SPDX-License-Identifier: MIT
"""The assertion of debug builds that no code of ours allocates or locks in the handler (base/thread_state.h)."""

from __future__ import annotations

import signal

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "not_in_signal.c"
VIOLATIONS = {
    "a_lock_in_the_handler_is_found": "gp_registry_lock",
    "a_switch_of_labels_in_the_handler_is_found": "gp_account_switch",
    "a_new_label_in_the_handler_is_found": "gp_label_make",
}


@pytest.mark.parametrize(("name", "function"), VIOLATIONS.items())
def test_a_violation_ends_a_debug_build(name: str, function: str) -> None:
    output = harness.run(
        harness.program(SOURCE, "address,undefined"), name, expected=-signal.SIGABRT
    )
    assert f"called in the handler of a tick: {function}\n" in output


def test_the_rest_of_a_debug_build_goes_on() -> None:
    harness.run(harness.program(SOURCE, "address,undefined"), "nothing_is_found_elsewhere")


@pytest.mark.parametrize("name", VIOLATIONS)
def test_the_product_asserts_nothing(name: str) -> None:
    harness.run(harness.program(SOURCE), name)
