# SPDX-License-Identifier: MIT
"""The host ends while a thread of its own holds the loader's lock: nobody waits for who wants that lock.

Context: tests.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import TARGETS, clean_environment, compile_host, environment, report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.fault]

WAYS = [("preload", "embedded"), ("preload", "process"), ("run", "auto")]
# Five seconds is what an agent in the host may take for its file.
PATIENCE_S = 4.0


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The host, and the library that it loads for ever."""
    folder = tmp_path_factory.mktemp("loads")
    library = folder / "libblocks.so"
    words = ["cc", "-shared", "-fPIC", "-Wl,-z,norelro", "-Wl,-z,lazy", "-o", str(library)]
    subprocess.run([*words, str(TARGETS / "library_that_blocks.c")], check=True)
    return compile_host("loads_library.c", folder), library


@pytest.mark.parametrize("end", ["signal", "exit"])
@pytest.mark.parametrize(("way", "home"), WAYS)
def test_a_host_that_ends_while_it_loads_a_library(
    way: str, home: str, end: str, programs: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "x.pb.gz"
    command = [str(word) for word in programs]
    env = environment("preload", home, output=str(output), upload_interval="0.1")
    if way == "run":
        run = [sys.executable, "-m", "gst_pyro_shim", "run", "--upload-interval", "0.1"]
        command = [*run, "-o", str(output), "--", *command]
        env = clean_environment()
    with subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        assert host.stderr is not None
        assert host.stdout.readline() == "playing\n"
        if way != "run":
            wait_for(output.exists)  # the agent is up, and has told a window
        host.stdin.write("\n")
        host.stdin.flush()
        assert host.stdout.readline() == "inside\n"
        time.sleep(0.5)  # several rounds of the poller, which may come to want the loader's lock
        start = time.monotonic()
        if end == "signal":
            host.send_signal(signal.SIGTERM)
        else:
            host.stdin.write("\n")
            host.stdin.flush()
        status = host.wait(30)
        took = time.monotonic() - start
        said = host.stderr.read()
    assert status == (-signal.SIGTERM if end == "signal" else 7)
    assert took < PATIENCE_S
    assert "busy" not in said
    assert "without exit handlers" not in said
    # With the agent in it, it depends on whether that one wants the lock.
    assert said.count("the last profile is lost") <= (home == "embedded")
    wait_for(output.exists)
    assert report(output).self_s("source") > 0
