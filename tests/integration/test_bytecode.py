# SPDX-License-Identifier: MIT
"""An embedded agent's bytecode: written down where the package is the user's own, never for another user.

Context: tests.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from gst_pyro_shim import paths
from tests.support.hosts import environment, gst_launch, needs_gstreamer, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("whose", ["own", "another user's"])
def test_bytecode_is_written_for_the_owner_alone(whose: str, tmp_path: Path) -> None:
    needs_gstreamer("videotestsrc")
    if whose != "own" and os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    package = tmp_path / "gst_pyro_shim"
    shutil.copytree(paths.package_dir(), package, ignore=shutil.ignore_patterns("__pycache__"))
    record = paths.record_text(package / paths.AGENT_NAME)
    record = record.replace(f"\n{paths.package_dir().parent}:", f"\n{tmp_path}:")
    (package / paths.RECORD_NAME).write_text(record, "utf-8")
    if whose != "own":
        os.chown(package / "__init__.py", 65534, -1)
    settings = environment("preload", "embedded", output=str(tmp_path / "out.pb.gz"))
    settings["LD_PRELOAD"] = str(package / paths.PLUGIN_DIR_NAME / paths.SHIM_NAME)
    run(gst_launch("videotestsrc num-buffers=5 ! fakesink"), settings)
    assert (tmp_path / "out.pb.gz").exists()
    written = {file.name.partition(".")[0] for file in package.glob("**/__pycache__/*.pyc")}
    assert ("window" in written) == (whose == "own")
