# SPDX-License-Identifier: MIT
"""Runs churn_host.c, a server whose pipelines and threads come and go, and takes what it says.

Context: benchmark; tests run the same program.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.measuring import companions, progress
from build_native.requirements import pkg_config

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).resolve().parent
_MARK = "GP_CHURN_HOST"
_GONE_S = 30.0  # the agent's last window, on a busy machine


@dataclass(frozen=True, slots=True)
class Churn:
    """What the program said.

    Attributes:
        lines: in their order, by churn.h; of the agent beside the host "agent_s", its CPU so far, and "agent_rss_kb".
    """

    lines: list[dict[str, Any]]

    @property
    def tenths(self) -> list[dict[str, Any]]:
        """Of the run, the first at 0."""
        return self.of_phase("tenth")

    def of_phase(self, phase: str) -> list[dict[str, Any]]:
        """In their order."""
        return [line for line in self.lines if line["phase"] == phase]

    def line(self, phase: str) -> dict[str, Any]:
        """The only one of this phase."""
        (line,) = self.of_phase(phase)
        return line

    def idle_ms(self, phase: str) -> float:
        """CPU of the process and of the agent beside it in a second of "idle before" or "idle after"."""
        at = self.lines.index(self.line(phase))
        agent_s = self.lines[at]["agent_s"] - self.lines[at - 1]["agent_s"]
        return 1e3 * (self.lines[at]["process_s"] + agent_s) / self.lines[at]["wall_s"]

    def grown_kb(self, since: dict[str, Any]) -> int:
        """By how much memory rose above what it was at the line `since`, at most."""
        later = self.lines[self.lines.index(since) :]
        return max(line["rss_kb"] for line in later) - int(since["rss_kb"])


def build(folder: Path) -> Path:
    """Compiles the program into `folder`.

    Raises:
        subprocess.CalledProcessError: the compiler failed; its output stands on stderr.
    """
    flags = pkg_config("--cflags", "--libs", "gstreamer-1.0")
    assert flags is not None
    program = folder / "churn_host"
    sources = [str(source) for source in sorted(HERE.glob("churn_*.c"))]
    compiler = [os.environ.get("CC", "cc"), "-O2", "-g", "-o", str(program)]
    subprocess.run([*compiler, *sources, *flags, "-lpthread", "-ldl"], check=True)
    return program


def run(program: Path, environ: Mapping[str, str], **options: object) -> Churn:
    """Runs the program to its end, and waits for that of an agent beside it.

    Args:
        program: as build() made it.
        environ: of it.
        options: of its command line; those that are None are left out.

    Raises:
        RuntimeError: it failed.
    """
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    mark = {_MARK: str(uuid.uuid4())}
    lines = []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [str(program), *words],
            env={**environ, **mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        assert child.stdout is not None
        for text in child.stdout:
            line = json.loads(text)
            lines.append(line | _agent(mark, child.pid))
            progress(f"{line['phase']} {line.get('number', '')}")
        status = child.wait()
        errors.seek(0)
        if status != 0:
            raise RuntimeError(f"{program} {' '.join(words)} ended with {status}\n{errors.read()}")
    end = time.monotonic() + _GONE_S
    while companions(mark, but=child.pid) and time.monotonic() < end:
        time.sleep(0.05)
    return Churn(lines)


def _agent(mark: Mapping[str, str], host: int) -> dict[str, float]:
    """What lives beside the host."""
    cpu_s, rss_kb = 0.0, 0
    for one in companions(mark, but=host):
        with suppress(psutil.NoSuchProcess, OSError):  # it has just ended
            rss_kb += one.memory_info().rss // 1024
            # The kernel's clock of a process by its id, CPUCLOCK_SCHED: to the nanosecond.
            cpu_s += time.clock_gettime(~one.pid << 3 | 2)
    return {"agent_s": cpu_s, "agent_rss_kb": rss_kb}
