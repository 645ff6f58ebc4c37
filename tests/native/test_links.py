# SPDX-License-Identifier: MIT
"""Links between elements, as the shim tells them (csrc/shim/labels/pad_links.c)."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "links.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_links(name: str, sanitize: str | None) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)
