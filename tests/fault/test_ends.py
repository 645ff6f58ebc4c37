# SPDX-License-Identifier: MIT
"""The host ends while its own thread holds the loader's lock, or while the shim has no thread.

Context: tests.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    TARGETS,
    clean_environment,
    compile_host,
    environment,
    piped,
    report,
    run,
)
from tests.support.waiting import one_of, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.fault]

WAYS = [("preload", "embedded"), ("preload", "process"), ("run", "auto")]
# An end that waits for the loader's lock takes five seconds: STOP_FILE_MS (csrc/shim/stop/stop.c).
LIMIT_S = 4.0


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The host, and a library whose constructor never returns."""
    folder = tmp_path_factory.mktemp("loads")
    library = folder / "libblocks.so"
    words = ["cc", "-shared", "-fPIC", "-Wl,-z,norelro", "-Wl,-z,lazy", "-o", str(library)]
    subprocess.run([*words, str(TARGETS / "library_that_blocks.c")], check=True)
    return compile_host("loads_library.c", folder), library


def under_run(output: Path, *words: str) -> list[str]:
    """`run` of a program, its profile in a file."""
    start = [sys.executable, "-m", "gst_pyro_shim", "run", "--upload-interval", "0.1"]
    return [*start, "-o", str(output), "--", *words]


def end_inside(way: str, home: str, end: str, words: list[str], output: Path) -> float:
    """Ends the host inside dlopen(), and checks all but the time that takes, which is returned in seconds."""
    output.unlink(missing_ok=True)
    env = environment("preload", home, output=str(output), upload_interval="0.1")
    if way == "run":
        words, env = under_run(output, *words), clean_environment()
    with piped(words, env) as (host, stdin, stdout, stderr):
        assert stdout.readline() == "playing\n"
        if way != "run":
            wait_for(output.exists)  # the agent is up, and has delivered a window
        stdin.write("\n")
        stdin.flush()
        assert stdout.readline() == "inside\n"
        time.sleep(0.5)  # several rounds of the poller, which may reach the loader's lock
        start = time.monotonic()
        if end == "signal":
            host.send_signal(signal.SIGTERM)
        else:
            stdin.write("\n")
            stdin.flush()
        status = host.wait(30)
        took = time.monotonic() - start
        said = stderr.read()
    assert status == (-signal.SIGTERM if end == "signal" else 7)
    assert "busy" not in said
    assert "without exit handlers" not in said
    # An embedded agent may need the loader's lock for its last profile, or may not.
    assert said.count("the last profile is lost") <= (home == "embedded")
    wait_for(output.exists)
    assert report(output).self_s("source") > 0
    return took


@pytest.mark.parametrize("end", ["signal", "exit"])
@pytest.mark.parametrize(("way", "home"), WAYS)
def test_a_host_that_ends_while_it_loads_a_library(
    way: str, home: str, end: str, programs: tuple[Path, Path], tmp_path: Path
) -> None:
    words = [str(word) for word in programs]
    one_of(
        lambda: end_inside(way, home, end, words, tmp_path / "x.pb.gz"),
        lambda took: took < LIMIT_S,
    )


def test_a_shim_that_can_start_no_thread_says_so_to_its_agent(tmp_path: Path) -> None:
    no_thread = compile_host("no_thread.c", tmp_path, "-shared", "-fPIC", "-ldl")
    output = tmp_path / "x.pb.gz"
    env = clean_environment() | {"LD_PRELOAD": str(no_thread)}
    done = run(under_run(output, str(compile_host("exits.c", tmp_path))), env)
    assert done.status == 42
    assert "gst-pyro: cannot profile: no thread: Resource temporarily unavailable. " in done.err
    # Else the agent takes the host for one that was killed.
    assert not [note for note in report(output).data["notes"] if "without a last word" in note]
