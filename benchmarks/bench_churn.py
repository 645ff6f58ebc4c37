# SPDX-License-Identifier: MIT
"""What a server costs whose pipelines and threads come and go, and whether anything stays of them.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import churn
from benchmarks.measuring import (
    HERE,
    SCRATCH,
    Row,
    by_turns,
    compile_plugin,
    environment,
    profiled,
    progress,
    spread,
)
from gst_pyro_shim.pprof import files
from gst_pyro_shim.views.summary import Summary, summarize

if TYPE_CHECKING:
    from pathlib import Path

ELEMENTS = 62
GROWTH_GOAL = 1.05
ELEMENT_GOAL_US = 20
RSS_GOAL_KB = 4096
ACCOUNTED_GOAL = 0.005
ENCODER_GOAL = 0.01
MARK = 200  # sessions behind which memory is to be flat
PLUGINS = SCRATCH / "churn"
PROFILE = SCRATCH / "churn.pb.gz"
TRUTH = SCRATCH / "truth.txt"
ENCODER = (
    "fakesrc num-buffers={buffers} ! cpuburn name=encoder cpu-us=5000 where=threads threads=3"
    f" truth={TRUTH} ! fakesink"
)
# What counts elsewhere than under its own element, or not at all.
OVERFLOWS = ("labels_full", "accounts_full", "threads_full", "links_full", "unarmed")


@dataclass(frozen=True, slots=True)
class Size:
    """How much comes and goes."""

    few: int  # sessions of the comparison by turns
    sessions: int
    threads: int
    alive: int
    outside: int
    idle_s: float
    encoded: int  # buffers of the encoder that starts last


FULL = Size(150, 10_000, 100_000, 2_000, 500, 20, 400)
QUICK = Size(50, 400, 4_000, 100, 50, 2, 100)


def our_hooks() -> str:
    """What csrc/shim/labels/hooks.c registers on GStreamer 1.22 and newer, where it takes no pad-push."""
    text = (HERE.parent / "csrc" / "shim" / "labels" / "hooks.c").read_text("utf-8")
    names = set(re.findall(r'"((?:bin|element|object|pad|plugin)-[a-z-]+)"', text))
    return ",".join(sorted(names - {"pad-push-pre", "pad-push-post"}))


def environs() -> dict[str, dict[str, str]]:
    """The programs' environments by what looks on; all know the same plugins."""
    compile_plugin(HERE / "null_tracer.c", PLUGINS)
    compile_plugin(HERE.parent / "tests" / "targets" / "gstcpuburn.c", PLUGINS)
    plain = environment(GST_PLUGIN_PATH=str(PLUGINS))
    # Beside the host, so that the process has but what every host would have.
    ours = profiled(sample_rate="100", agent="process") | {
        "GST_PLUGIN_PATH": str(PLUGINS),
        "GST_REGISTRY": str(SCRATCH / "registry-churn.bin"),
        "GST_PYROSCOPE_OUTPUT": str(PROFILE),
    }
    return {
        "none": plain,
        "null": plain | {"GST_TRACERS": "null", "NULL_TRACER_HOOKS": our_hooks()},
        "factories": plain | {"GST_TRACERS": "factories"},
        "stats": plain | {"GST_TRACERS": "stats"},
        "ours": ours,
    }


def element_us(program: Path, environ: dict[str, str], sessions: int) -> float:
    """CPU of the process for an element made, linked, run and thrown away, the first tenth apart."""
    lines = churn.run(program, environ, sessions=sessions, elements=ELEMENTS).tenths[1:]
    elements = ELEMENTS * sum(line["sessions"] for line in lines)
    return 1e6 * sum(line["process_s"] for line in lines) / elements


def rows(*, rounds: int, quick: bool) -> list[Row]:
    size = QUICK if quick else FULL
    program = churn.build(SCRATCH)
    all_environs = environs()
    out = elements(program, all_environs, size.few, rounds)
    last = ENCODER.format(buffers=size.encoded)
    what = {
        "sessions": {"sessions": size.sessions, "elements": ELEMENTS, "mark": MARK},
        "threads": {"threads": size.threads, "alive": size.alive, "outside": size.outside},
    }
    for unit, options in what.items():
        runs = {}
        for name in ("none", "ours"):
            progress(f"{unit}: {name}")
            for written in (TRUTH, PROFILE):
                written.unlink(missing_ok=True)
            runs[name] = churn.run(
                program, all_environs[name], **options, idle=size.idle_s, last=last
            )
        number = int(str(options[unit]))
        out += growth(unit, number, runs["none"], runs["ours"])
        out += said(unit, runs["ours"], summarize(files.read(PROFILE)))
    return out


def elements(
    program: Path, all_environs: dict[str, dict[str, str]], sessions: int, rounds: int
) -> list[Row]:
    pairs = by_turns(
        {
            name: partial(element_us, program, environ, sessions)
            for name, environ in all_environs.items()
        },
        rounds,
    )
    compared = [
        ("the null tracer with our hooks over no tracer", "none", "null"),
        ("the factories tracer over no tracer", "none", "factories"),
        ("the stats tracer over no tracer", "none", "stats"),
        ("ours over the null tracer", "null", "ours"),
        ("ours over the factories tracer", "factories", "ours"),
    ]
    out = []
    for what, base, with_ in compared:
        added = pairs.differences(base, with_)
        goal = with_ == "ours"
        out.append(
            Row(
                f"an element's life: {what}",
                f"{pairs.median(base):.1f} µs",
                f"{pairs.median(with_):.1f} µs",
                f"{spread(added, '+.1f')} µs",
                f"≤ {ELEMENT_GOAL_US} µs" if goal else "",
                statistics.median(added) <= ELEMENT_GOAL_US if goal else None,
            )
        )
    return out


def growth(unit: str, number: int, plain: churn.Churn, ours: churn.Churn) -> list[Row]:
    """What the end of a run costs beyond its beginning."""
    one = unit.removesuffix("s")
    costs = {
        name: [1e3 * run.tenths[at]["process_s"] / (number // 10) for at in (1, 9)]
        for name, run in (("plain", plain), ("ours", ours))
    }
    ratio = costs["ours"][1] / costs["ours"][0]
    # Those that came by another way, and stay, were made in the first tenth.
    since, of = (f"session {MARK}", "mark") if unit == "sessions" else ("the first tenth", "tenth")
    grown_kb = [run.grown_kb(run.of_phase(of)[0]) for run in (plain, ours)]
    descriptors = [
        run.tenths[9]["descriptors"] - run.tenths[1]["descriptors"] for run in (plain, ours)
    ]
    idle = {
        phase: (plain.idle_ms(phase), ours.idle_ms(phase))
        for phase in ("idle before", "idle after")
    }
    out = [
        Row(
            f"{number:,} {unit}: CPU a {one}, second tenth and last",
            "{:.3f}, {:.3f} ms".format(*costs["plain"]),
            "{:.3f}, {:.3f} ms".format(*costs["ours"]),
            f"{ratio:.3f} (without {costs['plain'][1] / costs['plain'][0]:.3f})",
            f"≤ {GROWTH_GOAL}",
            ratio <= GROWTH_GOAL,
        ),
        Row(
            f"{number:,} {unit}: memory beyond {since}",
            f"{grown_kb[0] / 1024:.1f} MB",
            f"{grown_kb[1] / 1024:.1f} MB",
            "",
            f"≤ {RSS_GOAL_KB // 1024} MB",
            grown_kb[1] <= RSS_GOAL_KB,
        ),
        Row(
            f"{number:,} {unit}: descriptors, second tenth to last",
            f"{descriptors[0]:+d}",
            f"{descriptors[1]:+d}",
            "",
            "≤ 0",
            descriptors[1] <= 0,
        ),
        Row(
            f"{number:,} {unit}: CPU of an idle second before and after, agent included",
            "{:.2f}, {:.2f} ms".format(*(ms[0] for ms in idle.values())),
            "{:.2f}, {:.2f} ms".format(*(ms[1] for ms in idle.values())),
            f"{idle['idle after'][1] - idle['idle before'][1]:+.2f} ms",
        ),
    ]
    if unit == "threads":
        worst = [max(line["worst_birth_s"] for line in run.tenths) for run in (plain, ours)]
        out.append(
            Row(
                f"{number:,} {unit}: slowest birth and end of one",
                f"{1e3 * worst[0]:.1f} ms",
                f"{1e3 * worst[1]:.1f} ms",
                "",
            )
        )
    return out


def said(unit: str, run: churn.Churn, summary: Summary) -> list[Row]:
    """What the profile says of the run."""
    process_s = run.line("end")["process_s"]
    accounted = summary.accounted_s / process_s
    overflow_s = sum(row.self_ns for row in summary.rows if row.name == "[too many labels]") / 1e9
    counters = {name: summary.counters[name] for name in OVERFLOWS if summary.counters[name]}
    lost = ", ".join(f"{name} {number:,}" for name, number in counters.items()) or "nothing"
    true_s = sum(int(line.split()[1]) for line in TRUTH.read_text().splitlines()) / 1e9
    encoder_s = sum(row.self_ns for row in summary.rows if row.name == "encoder") / 1e9
    return [
        Row(
            f"{unit}: accounted, of the process's own count",
            f"{process_s:.2f} s",
            f"{summary.accounted_s:.2f} s",
            f"{accounted:.2%}",
            "99.5 to 100.5 %",
            abs(accounted - 1) <= ACCOUNTED_GOAL,
        ),
        Row(
            f"{unit}: without a row of its own; counters",
            "",
            f"{overflow_s:.3f} s; {lost}",
            "",
            "nothing",
            overflow_s == 0 and not counters,
        ),
        Row(
            f"{unit}: the encoder that starts last",
            f"{true_s:.3f} s",
            f"{encoder_s:.3f} s",
            f"{encoder_s / true_s - 1:+.2%}",
            "± 1 %",
            abs(encoder_s / true_s - 1) <= ENCODER_GOAL,
        ),
    ]
