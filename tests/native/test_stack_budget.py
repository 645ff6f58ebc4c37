# SPDX-License-Identifier: MIT
"""What the handler and the hooks take of the stacks of the host's threads, which may be small."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import build_shim
from tests.native import harness

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native

SOURCE = "stack_budget.c"
# Of one function; a thread's stack may be PTHREAD_STACK_MIN, 16 KiB, in all.
LARGEST_FRAME_BYTES = 512
# Called while a thread enters Python, which takes more.
LARGER = {"make_pair"}


@pytest.mark.parametrize("name", harness.tests_in(SOURCE))
def test_the_handler_keeps_its_stack_budget(name: str) -> None:
    harness.run(harness.program(SOURCE), name)


@pytest.mark.slow
def test_functions_on_the_hosts_threads_have_small_frames(tmp_path: Path) -> None:
    tools = harness.toolchain()
    files = harness.run_by_host_threads()
    build_shim.shim_objects(tools, files)
    frames: dict[str, int] = {}
    for file in files:
        target = tmp_path / f"{file.stem}.o"
        command = [*tools.commands[str(file)][:-1], str(target), "-fstack-usage"]
        subprocess.run(command, check=True)
        usage = target.with_suffix(".su")
        if not usage.exists():
            pytest.skip("this compiler does not write how much stack functions use")
        rows = [line.split("\t") for line in usage.read_text(encoding="utf-8").splitlines()]
        frames |= {row[0].rpartition(":")[2]: int(row[1]) for row in rows}
    assert "gp_label_push" in frames
    large = {name: size for name, size in frames.items() if size > LARGEST_FRAME_BYTES}
    assert large.keys() <= LARGER, large
