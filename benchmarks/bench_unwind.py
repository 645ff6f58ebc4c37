# SPDX-License-Identifier: MIT
"""What a walk up the stack costs: ours beside libgcc's and libunwind's.

Warm and with emptied caches on a stack made for it (unwind_warm.c); and as met in running pipelines, in runs of their
own (unwind_met.c); and at its bounds (unwind_worst.c). libunwind is left out where its headers are missing.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measuring import HERE, SCRATCH, Row, environment, progress, spread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CSRC = HERE.parent / "csrc"
UNWINDERS = ("ours", "libgcc", "libunwind")
BY_CFI, BY_SCAN, GUESSED = 0, 1, 2  # enum gp_stack_end
GOAL_WARM_NS = 15.0  # a frame
GOAL_CFI_US = 5.0  # about 30 frames
GOAL_ASSEMBLY_US = 12.0
GOAL_FRAMES = 30

ENCODE = "video/x-raw,width=640,height=480 ! videoconvert ! {} ! fakesink"
CODECS = {"x264enc": 250, "vp8enc deadline=33000": 120}  # buffers


@dataclass(frozen=True, slots=True)
class Walk:
    """One walk as met in a run."""

    ns: int
    depth: int
    end: int


def has_libunwind() -> bool:
    return subprocess.run(["pkg-config", "--exists", "libunwind"], check=False).returncode == 0


def build(source: str, product: Path, *flags: str) -> Path:
    names = ("signal/[!h]*.c", "modules/*.c", "base/segment.c", "base/clock.c")
    shared = [str(path) for name in names for path in sorted((CSRC / "shim").glob(name))]
    libraries = ["-lpthread", "-ldl", *(["-lunwind"] if has_libunwind() else [])]
    command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-fvisibility=hidden", *flags]
    command += [f"-I{CSRC}", "-o", str(product), str(HERE / source), *shared, *libraries]
    subprocess.run(command, check=True)
    return product


def warm_rows(rounds: int) -> list[Row]:
    program = build("unwind_warm.c", SCRATCH / "unwind_warm")
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for number in range(rounds):
        progress(f"walks of one stack: round {number + 1} of {rounds}")
        run = subprocess.run([program], capture_output=True, text=True, check=True)
        depths: dict[tuple[str, str], int] = defaultdict(int)
        for line in run.stdout.splitlines():
            who, what, length, ns = line.split()
            found[who, what, depths[who, what]].append(float(ns) / int(length))
            depths[who, what] += 1  # three stacks, by depth
    out = []
    for depth, frames in enumerate((12, 30, 99)):
        ours = found["ours", "warm", depth]
        goal = (f"≤ {GOAL_WARM_NS:.0f} ns", statistics.median(ours) <= GOAL_WARM_NS)
        out.append(
            Row(
                f"walk of {frames} frames, warm, a frame",
                " / ".join(
                    f"{who} {statistics.median(found[who, 'warm', depth]):.0f} ns"
                    for who in UNWINDERS[1:]
                    if (who, "warm", depth) in found
                ),
                f"{statistics.median(ours):.1f} ns",
                f"{spread(ours, '.1f')} ns",
                *goal,
            )
        )
    for what, name in (("cold2", "4 MiB"), ("cold3", "64 MiB")):
        ours = [ns * GOAL_FRAMES / 1000 for ns in found["ours", what, 1]]
        libgcc = statistics.median(found["libgcc", what, 1]) * GOAL_FRAMES / 1000
        out.append(
            Row(
                f"walk of 30 frames after {name} of other memory",
                f"libgcc {libgcc:.1f} µs",
                f"{statistics.median(ours):.1f} µs",
                f"{spread(ours, '.1f')} µs",
            )
        )
    return out


def worst_rows() -> list[Row]:
    """Walks at their bounds (unwind_scan.h, GP_MAX_FRAMES): nothing that a host does makes one dearer."""
    program = build("unwind_worst.c", SCRATCH / "unwind_worst")
    run = subprocess.run([program], capture_output=True, text=True, check=True)
    names = {
        "deepest": "8,192 frames, the most",
        "candidates": "scan of false return addresses to its bounds",
        "pointers": "scan of pointers into libc to its bounds",
    }
    return [
        Row(
            f"worst by design: {names[what]}",
            "",
            f"{int(first) / 1000:.0f} µs",
            f"warm {int(warm) / 1000:.0f} µs",
        )
        for what, _, first, warm in map(str.split, run.stdout.splitlines())
    ]


def library() -> Path:
    """What is preloaded to walk each sample."""
    return build("unwind_met.c", SCRATCH / "unwind_met.so", "-shared", "-fPIC")


def walks_met(preload: Path, command: Sequence[str], *, who: str = "") -> dict[str, list[Walk]]:
    """What each unwinder made of a program's samples; who: by one alone, whose times count then."""
    output = SCRATCH / "walks"
    environ = environment(
        LD_PRELOAD=str(preload),
        GP_BENCH_OUTPUT=str(output),
        GP_BENCH_UNWINDER=str(UNWINDERS.index(who) if who else len(UNWINDERS)),
    )
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    walks: dict[str, list[Walk]] = {one: [] for one in UNWINDERS}
    for path in output.parent.glob("walks.*"):  # of its children, too
        for line in path.read_text(encoding="ascii").splitlines():
            index, *numbers = map(int, line.split())
            walks[UNWINDERS[index]].append(Walk(*numbers))
        path.unlink()
    if not has_libunwind():
        del walks["libunwind"]
    return walks


def share_at_root(walks: list[Walk], *ends: int) -> str:
    return f"{100 * sum(walk.end in ends for walk in walks) / len(walks):.1f} %"


def met_rows(preload: Path, codec: str, buffers: int) -> list[Row]:
    """Rows of one pipeline."""
    name = codec.split(maxsplit=1)[0]
    source = f"videotestsrc num-buffers={buffers} ! {ENCODE.format(codec)}"
    walks = {}
    for who in ("ours", "libgcc"):
        progress(f"walks met in {name}: {who}")
        command = ["gst-launch-1.0", "-q", *source.split()]
        walks[who] = walks_met(preload, command, who=who)[who]
    ours = walks["ours"]
    out = []
    for what, ends, goal in (
        ("by CFI", (BY_CFI,), GOAL_CFI_US if name == "vp8enc" else None),
        ("through assembly", (BY_SCAN, GUESSED), GOAL_ASSEMBLY_US),
    ):
        taken = [walk for walk in ours if walk.end in ends]
        us = [walk.ns / 1000 for walk in taken]
        base = [walk.ns / 1000 for walk in walks["libgcc"] if walk.end in ends]
        middle = statistics.median(us)
        out.append(
            Row(
                f"{name}: walk {what}, as met, {statistics.mean(w.depth for w in taken):.0f} frames",
                f"libgcc {statistics.median(base):.1f} µs" if base else "",
                f"{middle:.1f} µs",
                f"{spread(us, '.1f')} µs",
                f"≤ {goal:.0f} µs" if goal else "",
                middle <= goal if goal else None,
            )
        )
    worst_us = max(walk.ns for walk in ours) / 1000
    return [*out, Row(f"{name}: worst walk met", "", f"{worst_us:.0f} µs", f"of {len(ours)}")]


def rows(*, rounds: int, quick: bool) -> list[Row]:
    out = warm_rows(rounds) + worst_rows()
    preload = library()
    for codec, buffers in CODECS.items():
        out += met_rows(preload, codec, buffers if quick else 5 * buffers)
    return out
