# SPDX-License-Identifier: MIT
"""Builds C test programs around the shim's own objects, and runs them.

A program is one file of core/ linked with all of csrc/ that the shim is made of, but for what the loader would run by
itself (preload.c) and what is GStreamer's to call (tracer.c), and with the agent's side, agent/reader*.c. The objects
are those of the build: as the product has them, or with a sanitizer; compiled again where something changed.

Each TEST (name) of a file runs in a process of its own. Exit status 77 skips, with the last line as the reason.

Context: tests.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest

import build_shim
from build_native import requirements

HERE = Path(__file__).parent
CORE = HERE / "core"
# What the host's threads run: whole rooms of csrc/shim/, and files of rooms that have a part of the poller's besides.
ON_THREADS_OF_THE_HOST = (
    *("labels", "calls"),
    *("threads/sampler.c", "threads/sigwait.c", "threads/thread.c", "threads/thread_slots.c"),
    *("redirect/redirect_elf.c", "redirect/redirect_slot.c", "redirect/redirect_walk.c"),
    *("names/names.c", "names/names_orc.c", "python/python_entry.c"),
    *("python/python_tags.c", "python/python_ids.c"),
)
NOT_OURS_TO_RUN = {"preload.c", "tracer.c"}
SKIPPED = 77
DEADLINE_S = 60.0
BACKTRACE_DEADLINE_S = 60.0
SANITIZER_OPTIONS = {
    # Without leaks: the leak checker stops all threads, and fails where some are just ending.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:handle_segv=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:report_signal_unsafe=0",
}


@functools.cache
def work_dir() -> Path:
    """Of this process; pytest's own folders are kept for three sessions, objects are not worth that."""
    folder = tempfile.TemporaryDirectory(prefix="gst-pyro-tests-")
    work_dir.keep = folder  # type: ignore[attr-defined]  # removed when the interpreter ends
    return Path(folder.name)


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def toolchain(
    sanitize: str | None = None, with_compiler: str | None = None
) -> build_shim.Toolchain:
    """The product's, or with a sanitizer or another compiler."""
    environment = {} if with_compiler is None else {"CC": with_compiler}
    build_shim.OBJECTS.mkdir(parents=True, exist_ok=True)
    with mock.patch.dict(os.environ, environment):
        return build_shim.Toolchain(build_shim.OBJECTS, sanitize=sanitize)


def run_by_host_threads() -> list[Path]:
    """Sources of the shim."""
    places = [build_shim.SHIM / name for name in ON_THREADS_OF_THE_HOST]
    return [
        file
        for place in places
        for file in (sorted(place.glob("*.c")) if place.is_dir() else [place])
    ]


@functools.cache
def shim_objects(sanitize: str | None) -> tuple[Path, ...]:
    files = [path for path in build_shim.sources() if path.name not in NOT_OURS_TO_RUN]
    tools = toolchain(sanitize)
    return tuple(build_shim.shim_objects(tools, [*files, *build_shim.AGENT.glob("reader*.c")]))


@functools.cache
def host_library() -> Path:
    """A module of the host's, whose calls are redirected; the test programs hold the shim, and are exempt."""
    path = work_dir() / "libhost.so"
    words = ["-shared", "-fPIC", "-g", "-Wl,-soname,libhost.so", str(CORE / "host.c")]
    subprocess.run([*compiler(), *words, "-o", str(path)], check=True)
    return path


@functools.cache
def program(source: str, sanitize: str | None = None, *, packages: tuple[str, ...] = ()) -> Path:
    """Builds core/`source`, linked with what pkg-config says of the packages; the same again is the same file."""
    if sanitize is not None and "clang" in compiler()[0]:
        pytest.skip(
            "clang puts sanitizers into the program itself, where the shim looks for nothing"
        )
    tools = toolchain(sanitize)
    headers = requirements.pkg_config("--cflags-only-I", "gstreamer-1.0") or []
    headers = [word.replace("-I", "-isystem", 1) for word in headers]
    (built,) = tools.compile(
        [CORE / source], flags=[*build_shim.SHIM_FLAGS, f"-I{build_shim.CSRC}", *headers]
    )
    library = host_library()
    path = work_dir() / (sanitize or "plain").replace(",", "-") / Path(source).stem
    path.parent.mkdir(exist_ok=True)
    objects = [str(item) for item in (built, *shim_objects(sanitize))]
    words = ["-o", str(path), str(library), f"-Wl,-rpath,{library.parent}", "-Wl,-z,now"]
    words += [*tools.sanitize, "-lpthread", "-ldl", "-lm"]
    words += [word for name in packages for word in requirements.pkg_config("--libs", name) or []]
    command = [*compiler(), *objects, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def tests_in(source: str) -> list[str]:
    """Names of the TESTs in core/`source`, in its order."""
    return re.findall(r"^TEST \((\w+)\)", (CORE / source).read_text(encoding="utf-8"), re.MULTILINE)


def _command(path: Path, arguments: tuple[str, ...]) -> list[str]:
    # TSan's memory layout knows nothing of the wide randomization of newer kernels.
    fixed = ["setarch", "-R"] if "thread" in path.parent.name and shutil.which("setarch") else []
    return [*fixed, str(path), *arguments]


def _backtrace(path: Path, arguments: tuple[str, ...]) -> str:
    """Of the crash, if a second run crashes too."""
    if shutil.which("gdb") is None:
        return ""
    words = ["gdb", "-q", "-batch", "-ex", "handle SIGURG nostop noprint pass", "-ex", "run"]
    words += [
        "-ex",
        "thread apply all bt 30",
        "--args",
        *_command(path, arguments)[-1 - len(arguments) :],
    ]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=BACKTRACE_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "(no backtrace: the second run hangs)"
    return done.stdout


def run(
    path: Path,
    *arguments: str,
    expected: int = 0,
    timeout: float = DEADLINE_S,
    variables: dict[str, str] | None = None,
) -> str:
    """Runs a test program and returns what it said.

    A wrong exit status fails the test with the output, after a crash with gdb's backtrace as well.
    """
    try:
        done = subprocess.run(
            _command(path, arguments),
            env=os.environ | SANITIZER_OPTIONS | (variables or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        pytest.fail(f"{path.name} {' '.join(arguments)}: not done after {timeout} s\n{said}")
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip().rpartition("\n")[2])
    if done.returncode != expected:
        crash = _backtrace(path, arguments) if done.returncode < 0 else ""
        pytest.fail(f"{path.name} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{crash}")
    sys.stdout.write(done.stdout)
    return done.stdout
