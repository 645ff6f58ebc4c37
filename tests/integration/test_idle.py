# SPDX-License-Identifier: MIT
"""A host without work: the poller and the agent rest, and both are awake again once it works.

Context: tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.hosts import (
    clean_environment,
    environment,
    gst_launch,
    report,
    run,
    wait_for_profile,
)
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

WATCHED_S = 6.0
REST_S = 2.0
# A round that was under way, and a window that ends, come besides.
MOST_WAKE_UPS = WATCHED_S / REST_S + 4


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "x.pb.gz"


@pytest.fixture(params=["process", "embedded"])
def idle_host(request: pytest.FixtureRequest, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Its source gives no data; the input ends it."""
    command = gst_launch("fdsrc ! fakesink")
    env = environment("preload", request.param, output=str(output), upload_interval="600")
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE) as host:
        try:
            yield host
        finally:
            host.kill()


def switches(thread: Path) -> int:
    """How often a thread has gone to sleep."""
    (count,) = re.findall(
        r"^voluntary_ctxt_switches:\s*(\d+)", (thread / "status").read_text(), re.MULTILINE
    )
    return int(count)


def agent_pid(host: int) -> int:
    words = [sys.executable, "-m", "gst_pyro_shim.segment.dump", "--pid", str(host)]
    found = re.search(r"^ *agent_pid (\d+)", run(words, clean_environment()).out, re.MULTILINE)
    return int(found[1]) if found else 0


def own_threads(host: int) -> list[Path]:
    """The poller, and the agent's: in the host, or of a process beside it."""
    tasks = list(Path(f"/proc/{host}/task").iterdir())
    own = [task for task in tasks if (task / "comm").read_text().startswith("gst-pyro")]
    agent = agent_pid(host)
    return own + (list(Path(f"/proc/{agent}/task").iterdir()) if agent else [])


def test_nothing_of_ours_wakes_up_while_the_host_rests(
    idle_host: subprocess.Popen[bytes], output: Path
) -> None:
    """However busy the machine is, it makes no thread wake up more often."""
    threads: list[Path] = []

    def is_up() -> bool:
        threads[:] = own_threads(idle_host.pid)
        return len(threads) > 1

    wait_for(is_up, what="no agent")

    def rests() -> bool:
        before = sum(map(switches, threads))
        time.sleep(WATCHED_S)
        return sum(map(switches, threads)) - before <= 2 * MOST_WAKE_UPS

    wait_for(rests, what="no rest")
    assert idle_host.stdin is not None
    with idle_host.stdin as data:
        for _ in range(200):
            data.write(bytes(1 << 20))
    assert idle_host.wait(60) == 0
    wait_for_profile(output)
    seen = report(output).data
    assert seen["samples"] > 0
    assert abs(seen["accounted_cpu_s"] / seen["process_cpu_s"] - 1) < 0.02
