# SPDX-License-Identifier: MIT
"""Elements of known CPU cost get their CPU, wherever they burn it, however the pipeline is paced and sampled.

GP_ACCURACY_RUNS=10 (`make accuracy`) runs every combination so many times; without it each pace, each rate
and each way to burn is tried, but not all of them together.

Context: test.
"""

import math
import os

import pytest

from tests.accuracy.burning import Furnace

RUNS = int(os.environ.get("GP_ACCURACY_RUNS", "1"))
IS_FULL = "GP_ACCURACY_RUNS" in os.environ

# What the report may say of an element beyond the truth, as a share of the whole process.
TOLERANCE = 0.01
# How unlikely a number of samples may be. A full run makes 560 comparisons: one in 400 fails by chance.
CHANCE = 4e-6

VIDEO = "videotestsrc is-live=true num-buffers={} ! video/x-raw,width=16,height=16,framerate={}/1"
AUDIO = "audiotestsrc is-live=true num-buffers={} samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=1"
SOURCES = {
    "unpaced": "fakesrc num-buffers={}",
    "live25": VIDEO.format("{}", 25),
    "live50": VIDEO.format("{}", 50),
    "audio20ms": AUDIO,
}
BUFFERS = {"unpaced": 100, "live25": 50, "live50": 100, "audio20ms": 100}
CELLS = (
    [(pace, rate) for pace in SOURCES for rate in (10, 100, 250)]
    if IS_FULL
    else [("unpaced", 10), ("unpaced", 250), ("live25", 100), ("live50", 250), ("audio20ms", 100)]
)
cells = pytest.mark.parametrize(("pace", "rate"), CELLS)
# Not what the pipelines take: what a loaded machine makes of it.
pytestmark = [pytest.mark.integration, pytest.mark.measured, pytest.mark.timeout(60 + 60 * RUNS)]

SINK = "fakesink async=false"


def burn(name, where="streaming", threads=1, **properties):
    settings = " ".join(f"{key.replace('_', '-')}={value}" for key, value in properties.items())
    return f"cpuburn name={name} where={where} threads={threads} {settings} truth=TRUTH"


def every_way(pace):
    """Three streaming threads, and every way to burn in other threads. About 1.5 s of CPU."""
    buffers = BUFFERS[pace]
    unit = 50_000 // buffers
    short = 200 // buffers
    chain = [
        SOURCES[pace].format(buffers),
        burn("own", cpu_us=2 * unit),
        "queue",
        burn("threads", "threads", 3, cpu_us=4 * unit),
        "tee name=tee",
        "queue",
        burn("pool", "pool", 2, cpu_us=3 * unit),
        burn("shared1", "shared-pool", 2, cpu_us=2 * unit),
        SINK,
    ]
    branch = [
        "queue",
        burn("shared2", "shared-pool", 2, cpu_us=3 * unit),
        burn("short", "short-threads", short, cpu_us=5000 * short),
        burn("last", cpu_us=unit),
        SINK,
    ]
    return " ! ".join(chain) + " tee. ! " + " ! ".join(branch)


# Where a switch of label is hard to time. The truth leaves out what passing a buffer on costs, 1 to 3 us an element.
SHAPES = {
    "handed to and fro in 20 us": [
        "fakesrc num-buffers=3000",
        burn("a", cpu_us=30),
        burn("b", "threads", cpu_us=30),
        burn("c", cpu_us=400),
        burn("d", "threads", 2, cpu_us=40),
        SINK,
    ],
    "queues of one buffer": [
        "fakesrc num-buffers=3000",
        burn("a", cpu_us=30),
        "queue max-size-buffers=1",
        burn("b", cpu_us=45),
        "queue max-size-buffers=1",
        burn("c", cpu_us=400),
        burn("d", cpu_us=30),
        SINK,
    ],
    "sleeps between short stretches": [
        "fakesrc num-buffers=3000",
        burn("a", cpu_us=30, sleep_us=1),
        burn("b", cpu_us=300),
        burn("c", cpu_us=30),
        "queue max-size-buffers=1",
        burn("d", cpu_us=40),
        SINK,
    ],
    "pulled": [
        "fakesrc num-buffers=800 can-activate-push=false can-activate-pull=true sizetype=fixed",
        burn("a", cpu_us=500),
        burn("b", cpu_us=300),
        "fakesink can-activate-push=false can-activate-pull=true",
    ],
    "at the change of state": [
        "fakesrc num-buffers=100",
        burn("a", start_us=300_000, cpu_us=500),
        "queue",
        burn("b", start_us=100_000, cpu_us=300),
        SINK,
    ],
}


@pytest.fixture(scope="module")
def furnace(tmp_path_factory):
    return Furnace(tmp_path_factory.mktemp("furnace"))


def check_accounts(outcome):
    errors = outcome.errors()
    assert errors
    worst = max(errors, key=lambda name: abs(errors[name]))
    assert abs(errors[worst]) <= TOLERANCE, outcome.text()
    whole_s = outcome.report["process_cpu_s"]
    assert outcome.report["accounted_cpu_s"] == pytest.approx(whole_s, rel=TOLERANCE)


def tails(number, tries, share):
    """Of a binomial distribution: the chance of so few, and of so many."""

    def chance(k):
        ways = math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
        return math.exp(ways + k * math.log(share) + (tries - k) * math.log1p(-share))

    return (
        math.fsum(chance(k) for k in range(number + 1)),
        math.fsum(chance(k) for k in range(number, tries + 1)),
    )


def check_samples(outcome):
    """Every burning element's share of the samples is its share of the CPU, within the binomial error."""
    unsampled = {"[before the tracer]", "[unseen threads]"}
    if outcome.report["sample_clock"] == "timer":
        unsampled.add(
            "short"
        )  # the kernel sees CPU timers at its tick only: a thread of 5 ms meets one or two
    rows = [row for row in outcome.report["elements"] if row["name"] not in unsampled]
    number = sum(row["samples"] for row in rows)
    whole_s = sum(row["self_cpu_s"] for row in rows)
    for row in rows:
        if row["name"] in outcome.truth_s:
            share = row["self_cpu_s"] / whole_s
            assert min(tails(row["samples"], number, share)) > CHANCE, outcome.text()
    expected = whole_s * outcome.report["sample_rate"]
    assert abs(number - expected) <= 4.5 * math.sqrt(expected) + expected / 10, outcome.text()


@cells
def test_every_element_gets_its_cpu(furnace, pace, rate):
    for _ in range(RUNS):
        outcome = furnace.run(every_way(pace), rate=rate)
        check_accounts(outcome)
        if pace == "unpaced":
            check_samples(outcome)


@cells
def test_600_threads_of_5_ms_get_their_cpu(furnace, pace, rate):
    buffers = BUFFERS[pace]
    threads = 600 // buffers
    elements = [
        SOURCES[pace].format(buffers),
        burn("own", cpu_us=5000),
        burn("short", "short-threads", threads, cpu_us=5000 * threads),
        SINK,
    ]
    for _ in range(RUNS):
        outcome = furnace.run(" ! ".join(elements), rate=rate)
        assert outcome.row("short")["threads"] >= 600
        check_accounts(outcome)
        if pace == "unpaced":
            check_samples(outcome)


@pytest.mark.parametrize("shape", SHAPES)
def test_hard_shapes_get_their_cpu(furnace, shape):
    for _ in range(RUNS):
        check_accounts(furnace.run(" ! ".join(SHAPES[shape]), rate=100))


def test_accounts_hold_with_the_agent_inside_the_host(furnace):
    outcome = furnace.run(every_way("unpaced"), rate=100, home="embedded")
    check_accounts(outcome)
    check_samples(outcome)
