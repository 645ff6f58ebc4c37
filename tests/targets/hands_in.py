# SPDX-License-Identifier: MIT
"""Stands for a profiled program: hands a segment in to the controller, tells what it finds around it, and ends with
status 4.

    hands_in.py [late|refused]   late: a process of its own is profiled until half a second after this one has ended;
                                 refused: another program of this one has settings that are wrong

Context: tests, as a target of `run`.
"""

import json
import os
import sys
import time

from tests.support.fake_shim import FakeShim

S = 1_000_000_000


def be_profiled(*, until, params=b""):
    with FakeShim(params=params) as shim:
        shim.serve()
        slot = shim.thread(42, "worker")
        for name, factory, seconds in (
            ("x264enc0", "x264enc", 2),
            ("videoconvert0", "videoconvert", 1),
        ):
            label = shim.element(name, factory)
            shim.account(slot, label, seconds * S)
            shim.record(slot, label, [0x1000])
        shim.hand_in(os.environ["GST_PYROSCOPE_CONTROLLER"])
        until()
        shim.stop()


def go_on_after_the_other():
    os.write(write_end, b"handed in")
    time.sleep(0.5)


ours = ("GST", "LD_PRELOAD")
print(json.dumps({name: text for name, text in os.environ.items() if name.startswith(ours)}))
sys.stdout.flush()
if "refused" in sys.argv:
    be_profiled(until=lambda: None, params=b"foo\x001\x00\x00")
if "late" not in sys.argv:
    be_profiled(until=lambda: None)
else:
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        be_profiled(until=go_on_after_the_other)
        os._exit(0)
    os.read(read_end, 100)
sys.exit(4)
