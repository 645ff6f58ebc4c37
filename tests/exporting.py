# SPDX-License-Identifier: MIT
"""Handing profiles to an exporter, and what became of them.

Context: tests.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.pprof_writer import pprof

CLOSE_S = 1.0
SLACK_S = 0.5
"""How much later than its deadline a thread of a busy machine may come back."""


class Log:
    """Collects what was said."""

    def __init__(self):
        self.lines = []

    def __call__(self, level, text):
        self.lines.append((level, text))

    def at(self, *levels):
        return [text for level, text in self.lines if level in levels]


def profile(value=1000, **arguments):
    sample = {"stack": ["leaf", "main"], "value": [value], "labels": {"element": "e"}}
    return pprof([sample], **arguments)


def submit(exporting, count=1, size=0):
    for _ in range(count):
        now = time.time_ns()
        exporting.submit(profile(time_ns=now, pad_strings=size), start_ns=now)


def closed_within(exporting, deadline_s=CLOSE_S):
    begin = time.monotonic()
    exporting.close(deadline_s)
    took = time.monotonic() - begin
    assert took < deadline_s + SLACK_S
    return took


def dropped(exporting):
    return {k: v for k, v in exporting.counters.items() if k.startswith("dropped_") and v}


def spooled_files(settings):
    return sorted(Path(settings.spool_dir).rglob("*.push"))
