# SPDX-License-Identifier: MIT
"""`make bench`: what profiling costs, as one table. Method, budgets and the last table: README.md.

Context: benchmark.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time

from benchmarks import (
    bench_churn,
    bench_hooks,
    bench_names,
    bench_pipeline,
    bench_probe,
    bench_python,
    bench_short,
    bench_stacks,
    bench_unwind,
)
from benchmarks.measuring import Row, progress

PARTS = {
    "hooks": bench_hooks.rows,
    "unwind": bench_unwind.rows,
    "stacks": bench_stacks.rows,
    "names": bench_names.rows,
    "pipeline": bench_pipeline.rows,
    "probe": bench_probe.rows,
    "python": bench_python.rows,
    "short": bench_short.rows,
    "churn": bench_churn.rows,
}


def print_table(rows: list[Row]) -> None:
    """Plain text, to be kept in README.md."""
    verdicts = {None: "", True: "met", False: "MISSED"}
    lines = [
        ("", "without", "with", "median [quartiles]", "goal", ""),
        *((row.what, row.base, row.ours, row.result, row.goal, verdicts[row.met]) for row in rows),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of each comparison")
    parser.add_argument("--quick", action="store_true", help="short runs: does it work at all?")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    rounds = 3 if arguments.quick else arguments.rounds
    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"Others are at work here (load {load:.1f}): wait, or trust nothing of this.",
            file=sys.stderr,
        )
    rows = [
        row
        for name, part in PARTS.items()
        if not arguments.parts or name in arguments.parts
        for row in part(rounds=rounds, quick=arguments.quick)
    ]
    progress("")
    print(
        f"{time.strftime('%Y-%m-%d')}, {rounds} rounds, {os.cpu_count()} cores, {platform.platform()}\n"
    )
    print_table(rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
