# SPDX-License-Identifier: MIT
"""csrc/shim/signal/unwind*.c, cfi*.c and modules*.c: the C programs of unwind/, each in several builds.

A program runs all its tests and prints a line for each; "FAILED" or an exit status other than 0 fails the test here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.native

HERE = Path(__file__).parent / "unwind"
CSRC = Path(__file__).parents[2] / "csrc"
SHIM = CSRC / "shim"
SOURCES = [
    *(path for path in sorted((SHIM / "signal").glob("*.c")) if path.name != "handler.c"),
    *sorted((SHIM / "modules").glob("*.c")),
    SHIM / "base" / "clock.c",
    SHIM / "base" / "segment.c",
]
CC = os.environ.get("CC", "gcc")
ARM_PACKAGES = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Build:
    """A way to compile and run a program."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    run: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    packages: str = ""

    def missing(self) -> str:
        """The tools that are not installed, or the empty string."""
        tools = [self.compiler, *self.run[:1]]
        return ", ".join(tool for tool in tools if shutil.which(tool) is None)


PLAIN = Build("plain", CC, ("-O2",))
SANITIZED = Build(
    "asan+ubsan",
    CC,
    ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    environment={"ASAN_OPTIONS": "detect_stack_use_after_return=0"},
)
RACES = Build("tsan", CC, ("-O1", "-fsanitize=thread"))
ARM = Build(
    "aarch64", "aarch64-linux-gnu-gcc", ("-O2", "-static"), ("qemu-aarch64",), packages=ARM_PACKAGES
)


def compile_and_run(build: Build, program: str, folder: Path, arguments: Sequence[str] = ()) -> str:
    """Builds one program of unwind/, runs it and returns its output; skips where a tool is missing."""
    if missing := build.missing():
        pytest.skip(f"{missing} not installed: apt-get install {build.packages or missing}")
    target = folder / program
    warnings = ["-Wall", "-Wextra", "-Wno-unused-function", "-Werror"]
    command = [build.compiler, "-std=gnu11", "-g", *warnings, f"-I{CSRC}", f"-I{HERE}"]
    command += [*build.flags, str(HERE / f"{program}.c"), *map(str, SOURCES)]
    subprocess.run([*command, "-o", str(target), "-lpthread", "-ldl"], check=True)
    result = subprocess.run(
        [*build.run, str(target), *arguments],
        env={**os.environ, **build.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=DEADLINE_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "FAILED" not in result.stdout
    return result.stdout


@pytest.mark.parametrize("program", ["test_cfi", "test_scan", "test_walk"])
@pytest.mark.parametrize(
    "build",
    [PLAIN, SANITIZED, pytest.param(ARM, marks=pytest.mark.slow)],
    ids=lambda build: build.name,
)
def test_on_literal_stacks(program: str, build: Build, tmp_path: Path) -> None:
    assert "ok " in compile_and_run(build, program, tmp_path)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library with a known build id, which test_live loads and unloads."""
    path = tmp_path_factory.mktemp("plugin") / "plugin.so"
    flags = ["-O2", "-g", "-shared", "-fPIC", "-Wl,--build-id=0x0123456789abcdef"]
    subprocess.run([CC, *flags, str(HERE / "plugin.c"), "-o", str(path)], check=True)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("build", [PLAIN, SANITIZED], ids=lambda build: build.name)
def test_on_real_stacks(build: Build, plugin: str, tmp_path: Path) -> None:
    compile_and_run(build, "test_live", tmp_path, arguments=[plugin])


@pytest.mark.sanitizers
def test_races_with_dlopen_and_dlclose(plugin: str, tmp_path: Path) -> None:
    # TSan sees the names that the loader allocates, but not the lock of its own that
    # dl_iterate_phdr() holds while we read them.
    suppressions = tmp_path / "suppressions"
    suppressions.write_text("race:update_module\n", encoding="ascii")
    build = replace(RACES, environment={"TSAN_OPTIONS": f"suppressions={suppressions}"})
    # It delays signals to safe places, too: what the stacks look like there says nothing.
    storm = [plugin, "libraries_and_threads_come_and_go"]
    said = compile_and_run(build, "test_live", tmp_path, arguments=storm)
    assert said.count("ok ") == 1


@pytest.mark.sanitizers
def test_rules_written_by_many_threads(tmp_path: Path) -> None:
    compile_and_run(RACES, "test_cfi", tmp_path, arguments=["rules_do_not_tear"])
