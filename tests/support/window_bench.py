# SPDX-License-Identifier: MIT
"""A window on a shim that is made up, and what its profiles hold.

Context: tests.
"""

from collections import Counter

from gst_pyro_shim.agent.naming import Names
from gst_pyro_shim.agent.window import Window
from gst_pyro_shim.segment.segment import Segment
from gst_pyro_shim.symbols.symbolize import Symbolizer
from tests.support.fake_shim import FakeShim

MS = 1_000_000


class Bench:
    """A fake shim with a window on it."""

    def __init__(self):
        self.shim = FakeShim()
        self.segment = Segment.from_fd(self.shim.fd)
        self.names = Names(200, self.segment.labels.is_gone)
        self.window = Window(self.segment, Symbolizer(self.segment.code), self.names)

    def close(self, *, final=False, process_ns=None):
        self.shim.close_accounts(process_ns)
        self.window.drain(final=final)
        return self.window.close(final=final)

    def end(self):
        self.segment.close()
        self.shim.__exit__()


def by_element(profile):
    out = Counter()
    for sample in profile.samples:
        out[dict(sample.labels)["element"]] += sample.cpu_ns
    return {name: ns // MS for name, ns in out.items()}


def stacks(profile):
    return {
        tuple(frame.name for frame in sample.frames): (sample.cpu_ns // MS, sample.samples)
        for sample in profile.samples
    }
