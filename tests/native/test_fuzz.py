# SPDX-License-Identifier: MIT
"""Damaged input, made by libFuzzer, for C code that reads what others have written.

Unwinding reads the host's CFI, machine code and stacks; the reader the shared memory; the symbolizer ELF files.
GP_FUZZ_RUNS is the number of inputs for each program (`make fuzz` raises it); the seed is fixed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import build_shim
from tests.native import test_unwind

HERE = Path(__file__).parent
RUNS = int(os.environ.get("GP_FUZZ_RUNS", "5000"))
DEADLINE_S = 240 + RUNS / 20  # the slowest machine makes some hundred a second

pytestmark = [pytest.mark.native, pytest.mark.fuzz, pytest.mark.timeout(DEADLINE_S + 60)]


def fuzz(
    folder: Path,
    program: str,
    sources: list[Path],
    *flags: str,
    longest: int,
    environment: dict[str, str] | None = None,
) -> None:
    """Builds a program with libFuzzer, ASan and UBSan, and runs it on inputs of at most `longest` bytes."""
    if shutil.which("clang") is None:
        pytest.skip("no clang here: apt-get install clang libclang-rt-dev")
    target = folder / Path(program).stem
    subprocess.run(
        [
            "clang", "-std=gnu11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined",
            "-fno-sanitize-recover=all", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror",
            f"-I{build_shim.CSRC}", HERE / program, *sources, "-o", target, "-lpthread", "-ldl",
            *flags,
        ],
        check=True,
    )  # fmt: skip
    limits = [f"-runs={RUNS}", "-seed=1", f"-max_len={longest}", "-timeout=60", "-verbosity=0"]
    done = subprocess.run(
        [target, *limits],
        cwd=folder,  # it writes an input that fails there
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_damaged_cfi_code_and_stacks(tmp_path: Path) -> None:
    fuzz(tmp_path, "unwind/fuzz_walk.c", test_unwind.SOURCES, longest=256)


def test_damaged_segments(tmp_path: Path) -> None:
    reader = sorted(build_shim.AGENT.glob("reader*.c"))
    fuzz(tmp_path, "reader/fuzz_reader.c", reader, longest=256)


@pytest.mark.parametrize("flags", [("-s",), ("-g",), ("-g", "-gz")], ids=" ".join)
def test_damaged_elf_files(tmp_path: Path, flags: tuple[str, ...]) -> None:
    module = tmp_path / "module.so"
    source = HERE / "symbolizer" / "module.c"
    words = ["gcc", "-O2", "-fPIC", "-shared", "-Wl,--build-id", *flags, source, "-o", module]
    subprocess.run(words, check=True)
    symbolizer = [build_shim.AGENT / "elf_file.c", *build_shim.AGENT.glob("symbolizer*.c")]
    # libdw's own leaks, if its version has some, are not ours.
    environment = {"GP_FUZZ_FILE": str(module), "ASAN_OPTIONS": "detect_leaks=0"}
    libraries = ("-ldw", "-lelf", "-liberty")
    program = "symbolizer/fuzz_symbolizer.c"
    fuzz(tmp_path, program, symbolizer, *libraries, longest=64, environment=environment)
