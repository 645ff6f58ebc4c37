# SPDX-License-Identifier: MIT
"""Names that only the host knows (csrc/shim/names/), with real GStreamer types, many of them and at their limits."""

from __future__ import annotations

import pytest

from tests.native import harness

pytestmark = pytest.mark.native

SOURCE = "named.c"


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
@pytest.mark.parametrize("sanitize", [None, "address,undefined"])
def test_names(name: str, sanitize: str | None) -> None:
    path = harness.program(SOURCE, sanitize, packages=("gstreamer-1.0",))
    harness.run(path, name, variables={"GST_REGISTRY_UPDATE": "no"})
