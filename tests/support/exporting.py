# SPDX-License-Identifier: MIT
"""Helpers for tests of the exporter: hand profiles to it, and see what became of them.

Context: tests.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.pprof_writer import pprof
from tests.support.waiting import Waited

CLOSE_S = 1.0
ANSWERED_S = 60.0
"""A deadline that is never reached: the answer comes long before."""
SLACK_S = 0.5
"""How much longer than its deadline a call may wait."""


class Log:
    """A log that collects its lines."""

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
    """Closes, and returns how long that waited, in seconds."""
    with Waited() as waited:
        exporting.close(deadline_s)
    assert waited.seconds < deadline_s + SLACK_S
    return waited.seconds


def dropped(exporting):
    return {k: v for k, v in exporting.counters.items() if k.startswith("dropped_") and v}


def spooled_files(settings):
    return sorted(Path(settings.spool_dir).rglob("*.push"))
