# SPDX-License-Identifier: MIT
"""A Python host does not notice that its Python is profiled: each program is run with and without us.

Context: tests.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    SYSTEM_PYTHON,
    TARGETS,
    Done,
    environment,
    gst_launch,
    needs_gstreamer,
    profile,
    run,
    wait_for_profile,
)
from tests.support.waiting import one_of

if TYPE_CHECKING:
    from pathlib import Path

HOST = str(TARGETS / "python_host.py")
NOWHERE = "http://127.0.0.1:9"
OURS = sysconfig.get_path("purelib")
MODES = (
    "exit",
    "_exit",
    "raise",
    "interrupt",
    "terminate",
    "handler",
    "busy-interrupt",
    "callback",
    "subprocess",
    "fork",
    "multiprocessing",
    "order",
    "state",
    "warnings",
)


def fits_this_python() -> bool:
    """Whether the distribution's Python can load our pyroscope-io."""
    script = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split() == sysconfig.get_python_version().split(".")


pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not fits_this_python(), reason="pyroscope-io is of another Python"),
]


def test_pythons_watchdog_can_be_cancelled(tmp_path: Path) -> None:
    """The caller holds the interpreter's lock and waits for the watchdog's thread, which must not wait for the lock."""
    needs_gstreamer("fakesink")
    done, _ = profile([SYSTEM_PYTHON, str(TARGETS / "watchdog.py")], tmp_path)
    assert (done.status, done.err) == (0, "")
    assert done.out == "pyroscope-io True\nstill here\n"


def both(
    words: list[str], tmp_path: Path, python: tuple[str, ...] = (), **extra: str
) -> tuple[Done, Done]:
    """The program without us, and with us."""
    needs_gstreamer("appsink")
    output = tmp_path / "x.pb.gz"
    command = [SYSTEM_PYTHON, *python, HOST, *words]
    before = run(command, environment("none") | extra)
    after = run(command, environment("preload", output=str(output)) | extra)
    wait_for_profile(output)
    return before, after


@pytest.mark.parametrize("mode", MODES)
def test_the_same_with_us(mode: str, tmp_path: Path) -> None:
    before, after = both([mode], tmp_path)
    assert (after.status, after.out) == (before.status, before.out)
    # From 3.12 on Python warns of a fork beside threads, with the pid.
    first, second = (re.sub(r"\(pid=\d+\)", "(pid)", done.err) for done in (before, after))
    assert second == first


def test_a_host_with_an_old_pydantic(tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("VERSION = '1.10'\n")
    before, after = both(["pydantic1"], tmp_path, PYTHONPATH=str(tmp_path))
    assert (after.status, after.out, after.err) == (before.status, before.out, before.err)
    assert "1.10" in after.out


def test_a_host_that_uses_pyroscope_io_itself(tmp_path: Path) -> None:
    before, after = both(["own", NOWHERE], tmp_path, PYTHONPATH=OURS)
    assert (after.status, after.out, after.err) == (before.status, before.out, before.err)
    assert "own True" in after.out
    assert "shutdown True" in after.out


def test_a_host_that_comes_to_use_pyroscope_io(tmp_path: Path) -> None:
    before, after = both(["late", NOWHERE, OURS], tmp_path)
    assert (after.status, after.out, after.err) == (before.status, before.out, before.err)
    assert "late True" in after.out


def test_a_server_that_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        env = environment("preload", server_url=url, output=str(tmp_path / "x.pb.gz"))
        quick = run([SYSTEM_PYTHON, HOST, "_exit"], env)
        slow = one_of(
            lambda: run([SYSTEM_PYTHON, HOST, "exit"], env),
            lambda done: done.wall_s < quick.wall_s + 2,
        )
    assert slow.status == 7


def test_a_program_without_python_is_left_alone(tmp_path: Path) -> None:
    pipeline = gst_launch("videotestsrc num-buffers=2000 ! videoconvert ! fakesink")
    done, data = profile(pipeline, tmp_path, home="process", log_level="info")
    assert done.status == 0
    assert "the host runs Python" not in done.err
    assert all(row["python_cpu_s"] == 0 for row in data.elements.values())
