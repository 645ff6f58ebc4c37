# SPDX-License-Identifier: MIT
"""A PyGObject program whose threads are busy before pyroscope-io is up, and do not come by PyGObject from then on: one
burns 1.0 s of CPU in analyse(), the main thread 0.5 s in main_work().

Context: tests, as a host (the distribution's python3).
"""

import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def analyse():
    while time.thread_time() < 1.0:
        pass


def main_work():
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass


Gst.init(None)
pipeline = Gst.parse_launch("fakesrc num-buffers=10 ! fakesink")
pipeline.set_state(Gst.State.PLAYING)
thread = threading.Thread(target=analyse)
thread.start()
main_work()
thread.join()
pipeline.set_state(Gst.State.NULL)
