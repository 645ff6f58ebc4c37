# SPDX-License-Identifier: MIT
"""How late the probe callbacks of a PyGObject program come, with and without us.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import statistics
import subprocess

from benchmarks.measuring import HERE, Row, by_turns, environment, profiled, spread

# Not worse than this counts as unchanged: two runs of the same program differ by as much.
GOAL = 1.05


def p99_ms(environ: dict[str, str], seconds: float) -> float:
    run = subprocess.run(
        ["/usr/bin/python3", str(HERE / "probe_host.py"), str(seconds)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return statistics.quantiles([int(line) / 1e6 for line in run.stdout.split()], n=100)[98]


def rows(*, rounds: int, quick: bool) -> list[Row]:
    seconds = 2 if quick else 12
    plain = environment()
    # A window a second, so that the agent is at work through the whole run.
    ours = profiled(sample_rate="100", upload_interval="1")
    pairs = by_turns(
        {"plain": lambda: p99_ms(plain, seconds), "ours": lambda: p99_ms(ours, seconds)}, rounds
    )
    ratios = pairs.ratios("plain", "ours")
    return [
        Row(
            "PyGObject probe callbacks, p99 of their delay",
            f"{pairs.median('plain'):.3f} ms",
            f"{pairs.median('ours'):.3f} ms",
            spread(ratios, ".3f"),
            f"≤ {GOAL}",
            statistics.median(ratios) <= GOAL,
        )
    ]
