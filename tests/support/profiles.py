# SPDX-License-Identifier: MIT
"""Profiles made up for tests: builders, and hypothesis strategies.

Context: tests.
"""

from __future__ import annotations

from hypothesis import strategies as st

from gst_pyro_shim.pprof.model import (
    NO_SAMPLE,
    TRUNCATED,
    UNKNOWN,
    Frame,
    Profile,
    Sample,
    element_frame,
)
from gst_pyro_shim.pprof.run_statistics import RunStats

START_NS = 1_790_000_000_000_000_000
X264 = element_frame("x264enc0", "x264enc", "/pipeline0/x264enc0")
SRC = element_frame("videotestsrc0", "videotestsrc", "/pipeline0/videotestsrc0")
MAIN = element_frame("[main thread]")
ENCODE = Frame("gst_x264_enc_handle_frame", "/usr/lib/libgstx264.so", "ab12cd")
PUSH = Frame("gst_pad_push", "/usr/lib/libgstreamer-1.0.so.0", "00ff")


def labels(element, factory=""):
    given = {"element": element, "factory": factory, "pipeline": "pipeline0" if factory else ""}
    return tuple((name, value) for name, value in given.items() if value)


def stats(pid=100, **given):
    usual = {
        "start_ns": START_NS,
        "program": "gst-launch-1.0",
        "duration_s": 2.0,
        "process_cpu_s": 3.0,
        "sample_clock": "perf",
        "sample_rate": 100,
        "counters": {"samples": 290, "stacks_cfi": 280, "stacks_scan": 5, "stacks_guessed": 5},
        "named_weight": 261,
        "total_weight": 290,
        "agent_home": "embedded",
        "final": True,
    }
    return RunStats(pid=pid, **(usual | given))


def demo(pid=100, **given):
    """x264enc 2 s on two threads, its source 0.9 s, the main thread 0.1 s."""
    return Profile(
        START_NS,
        2_000_000_000,
        10_000_000,
        [
            Sample((ENCODE, X264, PUSH, SRC), 1_500_000_000, 150, labels("x264enc0", "x264enc"), 7),
            Sample((ENCODE, X264), 500_000_000, 50, labels("x264enc0", "x264enc"), 8),
            Sample((PUSH, SRC), 900_000_000, 90, labels("videotestsrc0", "videotestsrc"), 7),
            Sample((NO_SAMPLE, MAIN), 100_000_000, 0, labels("[main thread]"), 1),
        ],
        [stats(pid, **given).to_comment()],
    )


_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_names = _texts.filter(
    lambda text: bool(text) and text not in {"[unknown]", "[truncated]", "[no sample]"}
)
_native = st.builds(
    Frame,
    name=_names,
    module=_texts,
    build_id=st.just(""),
    file=_texts,
    line=st.integers(0, 2**31),
) | st.builds(Frame, name=_names, module=_names, build_id=_texts)
elements = st.builds(element_frame, _names, _texts.filter(lambda text: ":" not in text), _texts)
frames = _native | elements | st.sampled_from([UNKNOWN, TRUNCATED, NO_SAMPLE])
samples = st.builds(
    Sample,
    frames=st.lists(frames, max_size=6).map(tuple),
    cpu_ns=st.integers(0, 2**62),
    samples=st.integers(0, 2**40),
    labels=st.dictionaries(_names, _names, max_size=3).map(lambda given: tuple(given.items())),
    tid=st.integers(0, 2**22),
    pid=st.integers(0, 2**22),
)
profiles = st.builds(
    Profile,
    start_ns=st.integers(0, 2**62),
    duration_ns=st.integers(0, 2**50),
    period_ns=st.integers(0, 10**9),
    samples=st.lists(samples, max_size=8),
    comments=st.lists(_names, max_size=3),
)
