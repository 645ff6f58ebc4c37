# SPDX-License-Identifier: MIT
"""What profiling a Python program costs it, pyroscope-io included.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import statistics
import subprocess
from functools import partial

from benchmarks.measuring import HERE, Row, by_turns, environment, profiled, spread
from benchmarks.turns import rates

HOST = HERE / "appsink_host.py"
THROUGHPUT_GOAL = 0.99
P99_GOAL = 1.05  # two runs of the same program differ by as much


def numbers(mode: str, size: float, environ: dict[str, str]) -> list[float]:
    run = subprocess.run(
        ["/usr/bin/python3", str(HOST), mode, str(size)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(line) for line in run.stdout.split()]


def p99_ms(seconds: float, environ: dict[str, str]) -> float:
    return statistics.quantiles(numbers("delays", seconds, environ), n=100)[98] / 1e6


def rows(*, rounds: int, quick: bool) -> list[Row]:
    seconds = 2 if quick else 8
    both = {"plain": environment(), "ours": profiled(sample_rate="100")}
    command = ["/usr/bin/python3", str(HOST), "throughput"]
    rate = rates(command, both, starts=1 if quick else rounds, turns=20 if quick else 40)
    late = by_turns({name: partial(p99_ms, seconds, one) for name, one in both.items()}, rounds)
    entry = by_turns(
        {name: partial(_first, "entries", seconds / 2, one) for name, one in both.items()}, rounds
    )
    ratios, delays = rate.ratios("plain", "ours"), late.ratios("plain", "ours")
    return [
        Row(
            "numpy in an appsink, pictures per second",
            f"{rate.median('plain'):.1f}",
            f"{rate.median('ours'):.1f}",
            spread(ratios, ".4f"),
            f"≥ {THROUGHPUT_GOAL}",
            statistics.median(ratios) >= THROUGHPUT_GOAL,
        ),
        Row(
            "its callbacks, p99 of their delay",
            f"{late.median('plain'):.3f} ms",
            f"{late.median('ours'):.3f} ms",
            spread(delays, ".3f"),
            f"≤ {P99_GOAL}",
            statistics.median(delays) <= P99_GOAL,
        ),
        Row(
            "two probes on two elements, CPU a buffer: hooks, and tags set anew twice",
            f"{entry.median('plain') / 1e3:.2f} us",
            f"{entry.median('ours') / 1e3:.2f} us",
            f"{spread([one / 1e3 for one in entry.differences('plain', 'ours')], '+.2f')} us",
        ),
    ]


def _first(mode: str, size: float, environ: dict[str, str]) -> float:
    return numbers(mode, size, environ)[0]
