# SPDX-License-Identifier: MIT
"""Damaged input, made by libFuzzer, for all C code that reads what it has not written itself.

GP_FUZZ_RUNS sets how many inputs each program gets; the seed is fixed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import build_shim
from tests.native import test_unwind

pytestmark = pytest.mark.native

HERE = Path(__file__).parent
RUNS = int(os.environ.get("GP_FUZZ_RUNS", "5000"))
RUNS_PER_SECOND = 100  # at the least, on a slow machine


def fuzz(
    folder: Path, program: str, sources: list[Path], *, longest: int, runs: int = RUNS
) -> None:
    """Builds a program with libFuzzer, ASan and UBSan, and runs it on `runs` inputs of at most `longest` bytes."""
    if shutil.which("clang") is None:
        pytest.skip("no clang here: apt-get install clang libclang-rt-dev")
    target = folder / Path(program).stem
    subprocess.run(
        [
            "clang", "-std=gnu11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined",
            "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror",
            f"-I{build_shim.CSRC}", HERE / program, *sources, "-o", target, "-lpthread", "-ldl",
        ],
        check=True,
    )  # fmt: skip
    limits = [f"-runs={runs}", "-seed=1", f"-max_len={longest}", "-timeout=60", "-verbosity=0"]
    done = subprocess.run(
        [target, *limits],
        cwd=folder,  # where it writes the input that fails
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120 + runs / RUNS_PER_SECOND,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_damaged_cfi_code_and_stacks(tmp_path: Path) -> None:
    fuzz(tmp_path, "unwind/fuzz_walk.c", test_unwind.SOURCES, longest=256)


def test_damaged_segments(tmp_path: Path) -> None:
    reader = sorted(build_shim.AGENT.glob("reader*.c"))
    fuzz(tmp_path, "reader/fuzz_reader.c", reader, longest=256)
