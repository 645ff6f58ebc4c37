# SPDX-License-Identifier: MIT
"""flamegraph.{tree,state,search}.js without a browser: page_script.test.mjs, which node runs.

Context: test.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("page_script.test.mjs")
LEAST_NODE = 18
"""The first with a test runner that needs no package."""


def test_the_script_under_node():
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node (apt install nodejs)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.match(r"v(\d+)", version)[1]) < LEAST_NODE:
        pytest.skip(f"node {version.strip()} has no test runner")
    command = [node, "--test", "--test-reporter=tap", str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    failed = re.findall(r"^\s*not ok .*?^\s*\.\.\.$", done.stdout, re.DOTALL | re.MULTILINE)
    assert done.returncode == 0, "\n".join(failed) or done.stderr
    assert int(re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[1]) > 0
