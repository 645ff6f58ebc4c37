# SPDX-License-Identifier: MIT
"""Tags of a thread that enters Python (csrc/shim/python/python_tags.h), without a Python."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "tags.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_tags(name: str) -> None:
    harness.run(harness.program(SOURCE, "address,undefined"), name)
