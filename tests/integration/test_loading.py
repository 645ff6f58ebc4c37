# SPDX-License-Identifier: MIT
"""Loading a plugin is nobody's work who happens to run: `[loading plugins]`.

Context: tests.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import clean_environment, compile_host, compile_plugin, profile

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.measured]

STEP_S = 0.060  # BURN_MS of tests/targets/loads.c and gstslowload.c


def test_loading_amid_a_push_counts_for_no_element(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's constructors, the plugin's init function, the element's class. What comes then is the element's."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    compile_plugin("gstslowload.c", plugins)
    host = compile_host("loads.c", tmp_path)
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry.bin"))
    env = clean_environment() | {"GST_PLUGIN_PATH": str(plugins)}
    # A registry that knows the plugin, as users have it: nothing is loaded for a scan.
    subprocess.run(["gst-inspect-1.0", "slowload"], env=env, stdout=subprocess.DEVNULL, check=True)
    done, report = profile(["env", f"GST_PLUGIN_PATH_1_0={plugins}", str(host)], tmp_path)
    assert done.out == "loaded\n", done.err
    assert report.self_s("[loading plugins]") == pytest.approx(3 * STEP_S, rel=0.15)
    assert report.self_s("amid") == pytest.approx(STEP_S, rel=0.15)
