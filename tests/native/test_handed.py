# SPDX-License-Identifier: MIT
"""Work handed on (csrc/shim/labels/contexts.h, renderers.h, construction.h): whose label it carries."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "handed.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_handed(name: str, sanitize: str | None) -> None:
    harness.run(harness.program(SOURCE, sanitize), name)
