# SPDX-License-Identifier: MIT
"""The four ways to install, each into a clean environment, and a profile by each; and the source distribution.

Context: test. Needs the package index.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = "videotestsrc num-buffers=300 ! videoconvert ! video/x-raw,format=I420 ! fakesink"
NOT_SOURCE = shutil.ignore_patterns(
    ".git",
    ".venv",
    "build",
    "dist",
    "*.egg-info",
    "*.so",
    "plugin",
    "agent-python.txt",
    "__pycache__",
    ".*_cache",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def tree(tmp_path):
    """A source tree as one has it after a clone."""
    return Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=NOT_SOURCE))


@pytest.fixture
def environment(tmp_path):
    """A clean virtual environment of the Python under test."""
    place = tmp_path / "env"
    call(sys._base_executable, "-m", "venv", place)
    return place


def clean_environ(**extra) -> dict[str, str]:
    unwanted = ("GST_", "LD_PRELOAD", "VIRTUAL_ENV", "PYTHON", "CFLAGS", "GP_")
    return {
        name: value for name, value in os.environ.items() if not name.startswith(unwanted)
    } | extra


def call(*command, cwd=None, **extra) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd or "/",
        env=clean_environ(**extra),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def elements(report: Path, python: Path) -> set[str]:
    found = json.loads(call(python, "-m", "gst_pyro_shim", "report", "--json", report))
    return {element["name"] for element in found["elements"] if element["factory"]}


@pytest.mark.parametrize("editable", [False, True], ids=["wheel", "editable"])
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_installed_package_profiles(installer, editable, tree, environment, tmp_path):
    # GIVEN
    python = environment / "bin" / "python"
    what = ["--editable", tree] if editable else [tree]
    if installer == "pip":
        call(python, "-m", "pip", "install", "--quiet", *what)
    else:
        call(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *what)
    if not editable:
        shutil.rmtree(tree)

    # THEN the parts are where they belong, the shim alone in its directory
    shim = Path(call(environment / "bin" / "gst-pyro-shim", "path").strip())
    assert shim.is_relative_to(tree if editable else environment)
    assert [path.name for path in shim.parent.iterdir()] == ["libgstpyro.so"]
    call(python, "-Ic", "from gst_pyro_shim._native import lib")

    # THEN `run` profiles
    profile = tmp_path / "run.pb.gz"
    call(
        environment / "bin" / "gst-pyro-shim",
        "run",
        "-o",
        profile,
        "--",
        "gst-launch-1.0",
        "-q",
        *PIPELINE.split(),
    )
    assert elements(profile, python) >= {"videotestsrc0", "videoconvert0"}
    # THEN the page's script and style are installed too
    page = tmp_path / "run.html"
    call(python, "-m", "gst_pyro_shim", "flamegraph", profile, "-o", page)
    assert "videoconvert0" in page.read_text("utf-8")

    # THEN so does a plain preload, even where nothing has written the record yet
    record = shim.parent.parent / "agent-python.txt"
    record.unlink()
    if editable:  # a source tree knows no environment: `path` writes down the one it runs in
        call(python, "-m", "gst_pyro_shim", "path")
    profile = tmp_path / "preload.pb.gz"
    registry = str(tmp_path / "registry.bin")
    call(
        "gst-launch-1.0", "-q", *PIPELINE.split(),
        LD_PRELOAD=str(shim), GST_PYROSCOPE_OUTPUT=str(profile), GST_REGISTRY=registry,
    )  # fmt: skip
    assert elements(profile, python) >= {"videotestsrc0", "videoconvert0"}

    # THEN it goes as it came, with what was written since
    record.write_text("")
    if installer == "pip":
        call(python, "-m", "pip", "uninstall", "--quiet", "--yes", "gst-pyro-shim")
    else:
        call(
            sys.executable,
            "-m",
            "uv",
            "pip",
            "uninstall",
            "--quiet",
            "--python",
            python,
            "gst-pyro-shim",
        )
    assert editable or not record.parent.exists()


def test_source_distribution_builds(tree, environment, tmp_path):
    # GIVEN
    call(sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, tree)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {
        "csrc/shared/abi.h",
        "csrc/agent/embedding_init.py",
        "build_shim.py",
        "build_native/requirements.py",
        "build_native/toolchain.py",
        "LICENSE",
    } <= names
    assert not [name for name in names if name.endswith(".so")]
    # WHEN, THEN
    python = environment / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", archive)
    call(python, "-Ic", "from gst_pyro_shim import paths; paths.shim_path(); paths.agent_path()")
