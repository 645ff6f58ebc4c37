# SPDX-License-Identifier: MIT
"""A PyGObject program whose streaming thread does nothing but callbacks of 3 ms, one upon the other, 2 s of CPU in all:
hardly ever is the interpreter's lock free, and never does anybody wait for it 5 ms.

Context: tests, as a host (the distribution's python3).
"""

import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def on_handoff(*_):
    end = time.thread_time() + 0.003
    while time.thread_time() < end:
        pass


Gst.init(None)
pipeline = Gst.parse_launch("fakesrc num-buffers=667 ! fakesink name=sink signal-handoffs=true")
pipeline.get_by_name("sink").connect("handoff", on_handoff)
pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(
    Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR
)
print(message.type.first_value_nick)
pipeline.set_state(Gst.State.NULL)
