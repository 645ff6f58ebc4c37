# SPDX-License-Identifier: MIT
"""What our hooks cost at each pad push, beside what GStreamer's own dispatch costs.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import partial

from benchmarks.measuring import (
    HERE,
    SCRATCH,
    Row,
    by_turns,
    compile_plugin,
    cpu_s,
    environment,
    profiled,
    progress,
    spread,
)

PUSHES = 11  # of each buffer: into ten identities and a sink
GOAL_NS = 50
# Not callgrind: its own signal handling gives up where threads get signals.
CACHEGRIND = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]


def command(buffers: int) -> list[str]:
    source = f"fakesrc num-buffers={buffers} sizetype=fixed sizemax=64"
    chain = " ! ".join([source, *["identity silent=true"] * 10, "fakesink"])
    return ["gst-launch-1.0", "-q", *chain.split()]


def push_ns(environ: dict[str, str], few: int, many: int) -> float:
    """CPU of a push: the difference of two runs, so that start and end do not count."""
    longer_s = cpu_s(command(many), environ) - cpu_s(command(few), environ)
    return longer_s * 1e9 / (many - few) / PUSHES


def push_instructions(environ: dict[str, str], few: int, many: int) -> float:
    """The same in instructions, as cachegrind counts them in all threads."""
    counts = []
    for buffers in (few, many):
        run = subprocess.run(
            [*CACHEGRIND, *command(buffers)],
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        # The fork that becomes the agent has a count too, a small one.
        found = re.findall(r"I +refs: +([\d,]+)", run.stderr)
        counts.append(max(int(number.replace(",", "")) for number in found))
    return (counts[1] - counts[0]) / (many - few) / PUSHES


def rows(*, rounds: int, quick: bool) -> list[Row]:
    compile_plugin(HERE / "null_tracer.c", SCRATCH / "null")
    environs = {
        "none": environment(),
        "null": environment(GST_PLUGIN_PATH=str(SCRATCH / "null"), GST_TRACERS="null"),
        "unsampled": profiled(sample_rate="1", agent="process"),
        "ours": profiled(sample_rate="100", agent="process"),
    }
    few, many = (5_000, 55_000) if quick else (20_000, 220_000)
    pairs = by_turns(
        {name: partial(push_ns, environ, few, many) for name, environ in environs.items()}, rounds
    )
    floor = pairs.differences("none", "null")
    added = pairs.differences("null", "ours")
    unsampled = pairs.differences("null", "unsampled")
    met = sorted(added)[len(added) // 2] <= GOAL_NS
    none, null, ours = (f"{pairs.median(name):.0f} ns" for name in ("none", "null", "ours"))
    without = f"{pairs.median('unsampled'):.0f} ns"
    ratio = spread(pairs.ratios("null", "ours"), ".3f")
    out = [
        Row(
            "pad push: GStreamer's floor over no tracer", none, null, f"{spread(floor, '+.0f')} ns"
        ),
        Row(
            "pad push: labels and accounts over the floor",
            null,
            without,
            f"{spread(unsampled, '+.0f')} ns",
        ),
        Row(
            "pad push: with samples at 100 Hz over the floor",
            null,
            ours,
            f"{spread(added, '+.0f')} ns",
            f"≤ {GOAL_NS} ns",
            met,
        ),
        Row("pad push: the same as a ratio", null, ours, ratio),
    ]
    if shutil.which("valgrind"):
        out += instructions(environs)
    return out


def instructions(environs: dict[str, dict[str, str]]) -> list[Row]:
    counts = {}
    for name in ("none", "null", "unsampled"):
        progress(f"instructions: {name}")
        counts[name] = push_instructions(environs[name], 1_000, 6_000)
    none, null, ours = counts.values()
    return [
        Row("instructions a push: the floor", f"{none:.0f}", f"{null:.0f}", f"{null - none:+.0f}"),
        Row(
            "instructions a push: labels, accounts",
            f"{null:.0f}",
            f"{ours:.0f}",
            f"{ours - null:+.0f}",
        ),
    ]
