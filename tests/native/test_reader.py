# SPDX-License-Identifier: MIT
"""csrc/shim/signal/ring.h and reader.c: handlers on many threads write while the agent reads.

What one thread does with a segment is tests/unit/segment/test_segment.py's.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.native

HERE = Path(__file__).parent / "reader"
CSRC = Path(__file__).parents[2] / "csrc"


@pytest.mark.parametrize(
    "flags", [["-O2"], ["-O1", "-fsanitize=thread"], ["-O1", "-fsanitize=address,undefined"]]
)
def test_records_of_many_writers_come_whole_once_and_in_order(tmp_path: Path, flags: list[str]):
    program = tmp_path / "ring_race"
    subprocess.run(
        [
            os.environ.get("CC", "gcc"), "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", *flags,
            f"-I{CSRC}", HERE / "ring_race.c", CSRC / "agent" / "reader.c", "-o", program, "-pthread",
        ],
        check=True,
    )  # fmt: skip
    done = subprocess.run([program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    words = int(done.stdout.split()[2])
    assert words > 4 * 1024 * 1024  # the ring went round several times
