# SPDX-License-Identifier: MIT
"""Python hosts of other builds than the agent's: another minor version, free-threaded, virtual environments, and hosts
with sub-interpreters. Each does what it does without us, and is profiled as far as one line says.

Other Pythons are those on PATH and of GP_TEST_PYTHONS (paths, with colons between) that have PyGObject.

Context: tests.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.python.test_host import fits_this_python
from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    clean_environment,
    environment,
    needs_gstreamer,
    profile,
    run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Done, Report

pytestmark = pytest.mark.integration

HOST = (
    str(TARGETS / "appsink_app.py"),
    "300",
)  # pyroscope-io starts half a second after the program
INTERPRETERS = str(TARGETS / "subinterpreters.py")
GOES_ON = " The rest of the profile goes on.\n"
SEVERAL = (
    "gst-pyro: Python functions are not profiled: pyroscope-io sees one interpreter, and the program has"
    " sub-interpreters." + GOES_ON
)
FREE_THREADED = (
    "gst-pyro: Python functions are not profiled: pyroscope-io does not know free-threaded Python."
    + GOES_ON
)
needs_fitting_python = pytest.mark.skipif(
    not fits_this_python(), reason="pyroscope-io is of another Python"
)


@functools.cache
def facts(python: str) -> tuple[str, ...]:
    """Version, flags of the build, and "pyroscope" where it has one; nothing where it has no PyGObject."""
    script = (
        "import sys, importlib.util as u; import gi; gi.require_version('Gst', '1.0')\n"
        "from gi.repository import Gst\n"
        "print('%d.%d' % sys.version_info[:2], sys.abiflags or '-', u.find_spec('pyroscope') and 'pyroscope' or '-')"
    )
    done = run([python, "-c", script], clean_environment())
    return tuple(done.out.split()) if done.status == 0 else ()


def other_pythons() -> list[str]:
    """With PyGObject, and another build than this one."""
    named = os.environ.get("GP_TEST_PYTHONS", "").split(":")
    found = [path for minor in range(11, 20) if (path := shutil.which(f"python3.{minor}"))]
    this = (sysconfig.get_python_version(), "-")
    return [path for path in [*filter(None, named), *found] if facts(path)[:2] not in {(), this}]


def functions(report: Report) -> set[tuple[str, str]]:
    """Elements and their Python functions."""
    rows = report.data["elements"]
    return {(row["name"], one["function"]) for row in rows for one in row["python"]}


def without_and_with(
    command: list[str], tmp_path: Path, way: str = "preload", **settings: str
) -> tuple[Done, Report]:
    """The program is the same with us; how it ended, and its profile."""
    before = run(command, environment("none"))
    after, report = profile(command, tmp_path, way=way, **settings)
    assert (after.status, after.out) == (before.status, before.out), after.err
    assert before.status == 0
    return after, report


def said(done: Done) -> str:
    """The lines that are ours, without the table of `run`."""
    lines = done.err.splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("gst-pyro: "))


def test_other_pythons(tmp_path: Path) -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no Python of another version with PyGObject: set GP_TEST_PYTHONS")
    for python in pythons:
        version, flags, own = facts(python)
        for way in ("preload", "run"):
            done, report = without_and_with([python, *HOST], tmp_path, way)
            assert 0.3 <= report.self_s("sink") < 0.5
            if flags == "t":
                assert said(done) == FREE_THREADED
            elif own == "-":
                assert said(done).count("\n") == 1
                assert f"finds no pyroscope-io for Python {version}: `" in said(done)
                assert said(done).endswith(f" -m pip install pyroscope-io` adds it.{GOES_ON}")
            else:
                assert said(done) == ""
            assert (("sink", "on_sample") in functions(report)) == (said(done) == "")


@needs_fitting_python
@pytest.mark.parametrize("maker", ["venv", "uv"])
def test_a_virtual_environment(maker: str, tmp_path: Path) -> None:
    needs_gstreamer("appsink", "x264enc")
    folder = tmp_path / "host"
    if maker == "venv":
        command = [SYSTEM_PYTHON, "-m", "venv", "--without-pip"]
    else:
        pytest.importorskip("uv")
        command = [sys.executable, "-m", "uv", "venv", "--quiet", "--offline", "--no-project"]
        command += ["--python", SYSTEM_PYTHON]
    subprocess.run([*command, "--system-site-packages", str(folder)], check=True)
    done, report = without_and_with([str(folder / "bin" / "python"), *HOST], tmp_path)
    assert said(done) == ""
    assert ("sink", "on_sample") in functions(report)


def kinds() -> list[str]:
    """Of sub-interpreters, that the distribution's Python has."""
    has = run([SYSTEM_PYTHON, "-c", "import _interpreters"], clean_environment()).status == 0
    return ["legacy", "isolated"] if has else ["legacy"]


@needs_fitting_python
@pytest.mark.parametrize("moment", ["before", "while", "after"])
@pytest.mark.parametrize("kind", kinds())
def test_sub_interpreters(kind: str, moment: str, tmp_path: Path) -> None:
    needs_gstreamer("fakesink")
    command = [SYSTEM_PYTHON, INTERPRETERS, kind, moment]
    done, report = without_and_with(command, tmp_path, sample_rate="400")
    assert said(done) == ("" if moment == "after" else SEVERAL)
    # Native samples see all code: the CPU time of theirs counts for the thread and the element.
    assert 0.4 <= report.self_s("sink") < 0.6
    assert 0.8 <= report.self_s("[other threads]") < 1.2
    # No function of another interpreter is shown under any name; of the main one, the call into the other.
    seen = functions(report)
    assert "burn" not in {function for _, function in seen}
    assert (("sink", "on_buffer") in seen) == (moment == "after")
