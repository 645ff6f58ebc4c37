# SPDX-License-Identifier: MIT
"""A real pipeline with a shim that was built with a sanitizer: no report, and a profile that names its elements."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import build_shim
from gst_pyro_shim import paths
from gst_pyro_shim.pprof import files
from tests.native.harness import compiler
from tests.support.hosts import TARGETS, gst_launch, needs_gstreamer, wait_for_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.integration, pytest.mark.sanitizers, pytest.mark.slow]

RUNTIMES = {"address,undefined": "libasan.so", "thread": "libtsan.so"}
FOUND = 66
OPTIONS = {
    "ASAN_OPTIONS": f"detect_leaks=0:exitcode={FOUND}",
    "UBSAN_OPTIONS": f"print_stacktrace=1:halt_on_error=1:exitcode={FOUND}",
    # GLib's locks are futexes of its own, which TSan does not see: of what runs there only our code is looked at.
    "TSAN_OPTIONS": f"exitcode={FOUND}:report_signal_unsafe=0:ignore_noninstrumented_modules=1",
}
PIPELINE = (
    "videotestsrc num-buffers=100 ! video/x-raw,width=640,height=360 ! videoconvert n-threads=2 "
    "! x264enc tune=zerolatency speed-preset=ultrafast ! queue ! decodebin ! fakesink"
)


@functools.cache
def runtime(sanitize: str) -> str:
    """The library that has to be loaded before the shim."""
    if "clang" in compiler()[0]:
        pytest.skip("clang's sanitizers are part of the program, and gst-launch-1.0 has none")
    words = [*compiler(), f"-print-file-name={RUNTIMES[sanitize]}"]
    path = Path(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
    if not path.is_file():
        pytest.skip(f"no {path.name} here")
    return str(path.resolve())


def sanitized(sanitize: str, folder: Path) -> Path:
    """A package with native parts that were built with the sanitizer."""
    package = folder / "gst_pyro_shim"
    ignored = shutil.ignore_patterns("*.so", "__pycache__", paths.PLUGIN_DIR_NAME)
    shutil.copytree(paths.__file__.rpartition("/")[0], package, ignore=ignored)
    return build_shim.build(package, sanitize=sanitize).shim


def launch(command: Sequence[str], preload: str, output: Path) -> subprocess.CompletedProcess[str]:
    variables = {"LD_PRELOAD": preload, "GST_PYROSCOPE_OUTPUT": str(output)}
    fixed = [
        "setarch",
        "-R",
    ]  # TSan's memory layout knows nothing of newer kernels' wide randomization
    return subprocess.run(
        [*fixed, *command],
        env=os.environ | OPTIONS | variables,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def elements_in(output: Path) -> set[str]:
    profile = files.read(output)
    frames = [frame for sample in profile.samples for frame in sample.frames]
    return {frame.name for frame in frames if frame.kind == "element"}


@pytest.mark.parametrize("sanitize", RUNTIMES)
def test_a_real_pipeline(sanitize: str, tmp_path: Path) -> None:
    needs_gstreamer("videotestsrc", "x264enc", "decodebin")
    shim = sanitized(sanitize, tmp_path)
    output = tmp_path / "x.pb.gz"
    done = launch(gst_launch(PIPELINE), f"{runtime(sanitize)}:{shim}", output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr
    wait_for_profile(output)
    assert {"x264enc0", "videotestsrc0"} <= elements_in(output)


@pytest.mark.parametrize("sanitize", RUNTIMES)
def test_a_planted_fault_is_found(sanitize: str, tmp_path: Path) -> None:
    needs_gstreamer("fakesrc")
    planted = tmp_path / "planted.so"
    flags = [
        "-shared",
        "-fPIC",
        "-g",
        f"-fsanitize={sanitize}",
        "-DRACE" if sanitize == "thread" else "",
    ]
    source = TARGETS / "planted_fault.c"
    command = [*compiler(), *filter(None, flags), str(source), "-o", str(planted)]
    subprocess.run(command, check=True)
    preload = f"{runtime(sanitize)}:{planted}"
    done = launch(gst_launch("fakesrc num-buffers=1 ! fakesink"), preload, tmp_path / "x.pb.gz")
    assert done.returncode == FOUND
    assert "Sanitizer" in done.stderr
