# SPDX-License-Identifier: MIT
"""How many stacks reach their root, and how: ours beside libgcc's, libunwind's and perf's.

Ours as the report counts them, with labels and boundaries; libgcc's and libunwind's on samples that both walk
(unwind_met.c); perf's by --call-graph dwarf, where perf can run. A guessed stack of ours has reached its root, but is
not called complete.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks.bench_names import commands, run
from benchmarks.bench_unwind import BY_CFI, library, share_at_root, walks_met
from benchmarks.measuring import SCRATCH, Row, environment, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HZ: Final = 400
PERF_HZ: Final = 99  # it copies the stack of each sample to disk
GOAL_ROOT: Final = 0.999
GOAL_BOUNDARY: Final = 0.01
ROOTS: Final = re.compile(r"clone|_start|start_thread|__libc_start")


def our_stacks(command: Sequence[str]) -> Mapping[str, int] | None:
    """Stacks by how they were completed; None where the program fails."""
    output = SCRATCH / "stacks.pb.gz"
    output.unlink(missing_ok=True)
    controller = [sys.executable, "-m", "gst_pyro_shim"]
    profile = [*controller, "run", "-o", str(output), "--sample-rate", str(HZ), "--", *command]
    if not run(profile, environment()):
        return None
    report = [*controller, "report", "--json", str(output)]
    done = subprocess.run(report, capture_output=True, text=True, env=environment(), check=True)
    by_how: dict[str, int] = json.loads(done.stdout)["stacks"]["by_how"]
    return by_how


def perf_share(command: Sequence[str]) -> str:
    """Of its stacks, those that reach the start of a thread or of the program; "" where it cannot run."""
    perf = shutil.which("perf")
    data = SCRATCH / "stacks.data"
    call_graph = ["--call-graph", "dwarf,65528", "-e", "task-clock:u", "-F", str(PERF_HZ)]
    if perf is None or not run(
        [perf, "record", "-q", *call_graph, "-o", str(data), "--", *command], environment()
    ):
        return ""
    script = [perf, "script", "-i", str(data), "--no-inline", "-F", "ip,sym,dso"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    data.unlink()
    stacks = [stack.splitlines() for stack in done.stdout.split("\n\n") if stack.strip()]
    program = shutil.which(command[0]) or command[0]
    reached = sum(bool(ROOTS.search(stack[-1])) or program in stack[-1] for stack in stacks)
    return f"perf {100 * reached / len(stacks):.1f} %" if stacks else ""


def rows(*, rounds: int, quick: bool) -> list[Row]:
    """A run of each is enough: shares of hundreds of samples."""
    del rounds, quick
    preload = library()
    out = []
    for name, command in commands().items():
        progress(f"stacks: {name}")
        stacks = our_stacks(command)
        if stacks is None:
            continue
        total = sum(stacks.values())
        rooted = total - stacks["truncated"] - stacks["leaf_only"]
        walks = walks_met(preload, command)
        others = [
            f"{who} {share_at_root(them, BY_CFI)}" for who, them in walks.items() if who != "ours"
        ]
        how = ", ".join(
            f"{end.replace('_', ' ')} {100 * n / total:.1f}" for end, n in stacks.items() if n
        )
        out.append(
            Row(
                f"{name}: stacks that reach the root",
                " / ".join(filter(None, [*others, perf_share(command)])),
                f"{100 * rooted / total:.1f} %",
                f"{how} % of {total}",
                f"≥ {100 * GOAL_ROOT:.1f} %, boundary ≤ {100 * GOAL_BOUNDARY:.0f} %",
                rooted / total >= GOAL_ROOT and stacks["boundary"] / total <= GOAL_BOUNDARY,
            )
        )
    return out
