# SPDX-License-Identifier: MIT
"""A PyGObject program whose streaming thread does nothing but callbacks of 3 ms, one upon the other: hardly ever is the
interpreter's lock free, and never does anybody wait for it 5 ms.

It plays until pyroscope-io is up and the test has seen enough, and says so; or for 20 s of CPU.

Context: tests, as a host (the distribution's python3).
"""

import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402
from sampled import is_sampled, is_wanted  # noqa: E402

over = threading.Event()


def on_handoff(*_):
    end = time.thread_time() + 0.003
    while time.thread_time() < end:
        pass
    if end > 20.0 or (is_sampled() and not is_wanted()):
        over.set()


Gst.init(None)
pipeline = Gst.parse_launch("fakesrc ! fakesink name=sink signal-handoffs=true")
pipeline.get_by_name("sink").connect("handoff", on_handoff)
pipeline.set_state(Gst.State.PLAYING)
over.wait()
print("sampled" if is_sampled() else "never sampled", flush=True)
pipeline.set_state(Gst.State.NULL)
