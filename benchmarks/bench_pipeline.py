# SPDX-License-Identifier: MIT
"""What profiling the demo pipeline at 100 Hz costs, agent included, in CPU.

Context: benchmark; run by bench.py.
"""

from __future__ import annotations

import statistics
from functools import partial

from benchmarks.measuring import SCRATCH, Pairs, Row, by_turns, cpu_s, environment, profiled, spread
from gst_pyro_shim.pprof import files
from gst_pyro_shim.views.summary import summarize

GOAL = 1.01
SIZE = "video/x-raw,width=1280,height=720,framerate=30/1"


def command(buffers: int) -> list[str]:
    chain = f"videotestsrc num-buffers={buffers} ! {SIZE} ! videoconvert ! x264enc ! h264parse"
    return ["gst-launch-1.0", "-q", *f"{chain} ! avdec_h264 ! videoconvert ! fakesink".split()]


def agent_s(buffers: int) -> float:
    """What the agent and its poller used in one run, by the run's own accounts: exact under any load."""
    output = SCRATCH / "agent.pb.gz"
    output.unlink(missing_ok=True)
    environ = profiled(sample_rate="100", agent="embedded") | {"GST_PYROSCOPE_OUTPUT": str(output)}
    cpu_s(command(buffers), environ)
    (row,) = [row for row in summarize(files.read(output)).rows if row.name == "[gst-pyro agent]"]
    return row.self_ns / 1e9


def rows(*, rounds: int, quick: bool) -> list[Row]:
    plain = environment()
    # Embedded, so that the agent's CPU is in the process's own.
    ours = profiled(sample_rate="100", agent="embedded")
    # More rounds and shorter ones: the machine drifts between the two runs of a pair. Long enough for a window's end.
    few, many = 1, (100 if quick else 800)
    rounds += 0 if quick else rounds // 2
    pairs = by_turns(
        {
            f"{name} {buffers}": partial(cpu_s, command(buffers), environ)
            for name, environ in (("plain", plain), ("ours", ours))
            for buffers in (few, many)
        },
        rounds,
    )
    steady = Pairs(
        {name: pairs.differences(f"{name} {few}", f"{name} {many}") for name in ("plain", "ours")}
    )
    ratios = steady.ratios("plain", "ours")
    agent = [agent_s(many) - agent_s(few) for _ in range(3)]
    start = pairs.differences(f"plain {few}", f"ours {few}")
    return [
        Row(
            "demo pipeline, CPU at 100 Hz, start-up apart",
            f"{steady.median('plain'):.2f} s",
            f"{steady.median('ours'):.2f} s",
            f"{spread(ratios, '.4f')}",
            f"≤ {GOAL}",
            statistics.median(ratios) <= GOAL,
        ),
        Row(
            "of this the agent, by the accounts",
            "",
            f"{statistics.median(agent):.2f} s",
            f"{statistics.median(agent) / steady.median('plain'):.2%}",
        ),
        Row(
            "demo pipeline, start-up and end, once a process",
            f"{pairs.median(f'plain {few}'):.3f} s",
            f"{pairs.median(f'ours {few}'):.3f} s",
            f"{spread(start, '+.3f')} s",
        ),
    ]
