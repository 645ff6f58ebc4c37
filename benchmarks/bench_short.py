# SPDX-License-Identifier: MIT
"""What programs that live for some milliseconds cost, one after the other, as in a test suite: wall time.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import shlex
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measuring import SCRATCH, Row, by_turns, environment, profiled, spread
from gst_pyro_shim.pprof import files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GOAL = 1.15
PROGRAM = "gst-launch-1.0 -q fakesrc num-buffers=10 ! fakesink"


def script(runs: int) -> str:
    """A shell's loop, which writes down its own wall time in ns."""
    loop = f"i=0; while [ $i -lt {runs} ]; do {PROGRAM} || exit 1; i=$((i + 1)); done"
    return f"t=$(date +%s%N); {loop}; echo $(($(date +%s%N) - t)) > {shlex.quote(str(SCRATCH))}/ns"


def wall_s(command: list[str], environ: Mapping[str, str]) -> float:
    """Of the loop alone.

    Raises:
        subprocess.CalledProcessError: one of the programs failed.
    """
    subprocess.run(command, env=dict(environ), check=True, capture_output=True)
    return int((SCRATCH / "ns").read_text()) / 1e9


def told(runs: int, environ: Mapping[str, str]) -> tuple[int, int]:
    """How many of a loop's programs are in the profile of `run`, and in files of their own where they are preloaded."""
    output = SCRATCH / "short.pb.gz"
    output.unlink(missing_ok=True)
    wall_s(under_run(runs, output=str(output)), environment())
    for path in SCRATCH.glob("[0-9]*.pb.gz"):
        path.unlink()
    wall_s(["sh", "-c", script(runs)], environ)
    deadline = time.monotonic() + 10
    while len(files_of_programs()) < runs and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(files.read(output).stats()), len(files_of_programs())


def files_of_programs() -> list[Path]:
    """What the preloaded programs left."""
    return list(SCRATCH.glob("[0-9]*.pb.gz"))


def under_run(runs: int, *, output: str) -> list[str]:
    """The loop under one `run`."""
    words = [sys.executable, "-m", "gst_pyro_shim", "run", "--force", "-o", output, "--"]
    return [*words, "sh", "-c", script(runs)]


def rows(*, rounds: int, quick: bool) -> list[Row]:
    runs = 10 if quick else 100
    loop, preloaded = ["sh", "-c", script(runs)], profiled()
    output = str(SCRATCH / "short.pb.gz")
    pairs = by_turns(
        {
            "bare": partial(wall_s, loop, environment()),
            "run": partial(wall_s, under_run(runs, output=output), environment()),
            "preload": partial(wall_s, loop, preloaded),
        },
        rounds,
    )
    found = []
    for name in ("run", "preload"):
        ratios = pairs.ratios("bare", name)
        median = statistics.median(ratios)
        found.append(
            Row(
                f"{runs} short programs, wall time, {name}",
                f"{pairs.median('bare'):.2f} s",
                f"{pairs.median(name):.2f} s",
                spread(ratios, ".3f"),
                f"≤ {GOAL}",
                median <= GOAL,
            )
        )
    by_run, by_preload = told(runs, preloaded)
    found.append(
        Row(
            f"of {runs} short programs told by run, by preload",
            "",
            f"{by_run}, {by_preload}",
            "",
            "all",
            by_run == by_preload == runs,
        )
    )
    return found
