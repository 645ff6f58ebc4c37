# SPDX-License-Identifier: MIT
"""delivery.py: where profiles go, and what that takes to import.

Context: tests; no network.
"""

from __future__ import annotations

import subprocess
import sys


def test_who_writes_a_file_alone_imports_nothing_of_the_network(tmp_path):
    code = (
        "import sys\n"
        "from gst_pyro_shim.config import Settings\n"
        "from gst_pyro_shim.delivery import Delivery\n"
        "Delivery(Settings(output=sys.argv[1]), {}, 1, print)\n"
        "print([m for m in ('exporter', 'push', 'http1') if f'gst_pyro_shim.{m}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.pb.gz")],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == "[]"
