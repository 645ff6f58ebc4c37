# SPDX-License-Identifier: MIT
"""How late the probe callbacks of a PyGObject program come, with and without us.

Behind the clock they are late by whatever else runs on the machine, too; behind the push that led to them by what goes
on in their own process.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import statistics
import subprocess

from benchmarks.measuring import (
    HERE,
    SCRATCH,
    Pairs,
    Row,
    compile_plugin,
    environment,
    profiled,
    progress,
    spread,
)

# Not worse than this counts as unchanged: two runs of the same program differ by as much.
GOAL = 1.05


def p99s_ms(environ: dict[str, str], seconds: float) -> tuple[float, float]:
    """Behind the clock, and behind the push."""
    run = subprocess.run(
        ["/usr/bin/python3", str(HERE / "probe_host.py"), str(seconds)],
        env=environ | {"GST_PLUGIN_PATH": str(SCRATCH / "stamp")},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in run.stdout.splitlines()]
    columns = ([int(line[column]) / 1e6 for line in lines] for column in (0, 1))
    late, behind = (statistics.quantiles(column, n=100)[98] for column in columns)
    return late, behind


def rows(*, rounds: int, quick: bool) -> list[Row]:
    compile_plugin(HERE / "stamp.c", SCRATCH / "stamp")
    seconds = 2 if quick else 8
    # A window a second, so that the agent is at work through the whole run.
    environs = {"plain": environment(), "ours": profiled(sample_rate="100", upload_interval="1")}
    late = Pairs({name: [] for name in environs})
    behind = Pairs({name: [] for name in environs})
    for number in range(rounds + 1):
        progress(f"probes: round {number} of {rounds}")
        for name in list(environs)[:: 1 if number % 2 else -1]:
            values = p99s_ms(environs[name], seconds)
            if number:
                late.values[name].append(values[0])
                behind.values[name].append(values[1])
    ratios = behind.ratios("plain", "ours")
    return [
        Row(
            "Python probe, p99 of its delay behind the push",
            f"{behind.median('plain'):.4f} ms",
            f"{behind.median('ours'):.4f} ms",
            spread(ratios, ".3f"),
            f"≤ {GOAL}",
            statistics.median(ratios) <= GOAL,
        ),
        Row(
            "Python probe, p99 of its delay behind the clock",
            f"{late.median('plain'):.3f} ms",
            f"{late.median('ours'):.3f} ms",
            spread(late.ratios("plain", "ours"), ".3f"),
        ),
    ]
