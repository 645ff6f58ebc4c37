# SPDX-License-Identifier: MIT
"""What profiling a Python program costs it, pyroscope-io included.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import statistics
import subprocess
from functools import partial

from benchmarks.measuring import HERE, Row, by_turns, environment, profiled, spread
from benchmarks.turns import p99s, rates

HOST = HERE / "appsink_host.py"
THROUGHPUT_GOAL = 0.99
P99_GOAL = 1.05  # two runs of the same program differ by as much


def entry_ns(seconds: float, environ: dict[str, str]) -> float:
    run = subprocess.run(
        ["/usr/bin/python3", str(HOST), "entries", str(seconds)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


def rows(*, rounds: int, quick: bool) -> list[Row]:
    seconds = 1 if quick else 4
    both = {"plain": environment(), "ours": profiled(sample_rate="100")}
    command = ["/usr/bin/python3", str(HOST)]
    starts, turns = (1, 10) if quick else (2 * rounds, 20)
    rate = rates([*command, "throughput"], both, starts=starts, turns=turns)
    late = p99s([*command, "delays"], both, starts=3 if quick else rounds, turns=turns // 2)
    entry = by_turns({name: partial(entry_ns, seconds, one) for name, one in both.items()}, rounds)
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
            f"{late.median('plain') / 1e6:.3f} ms",
            f"{late.median('ours') / 1e6:.3f} ms",
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
