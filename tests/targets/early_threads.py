# SPDX-License-Identifier: MIT
"""A PyGObject program whose threads are busy before pyroscope-io is up, and do not come by PyGObject from then on: one
burns CPU in analyse(), the main thread in main_work(), until pyroscope-io is up and the test has seen enough.

Prints how many seconds each has burnt.

Context: tests, as a host (the distribution's python3).
"""

import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402
from sampled import is_sampled, is_wanted  # noqa: E402

used = {}


def analyse():
    start = time.thread_time()
    while not is_sampled() or is_wanted():
        pass
    used["analyse"] = time.thread_time() - start


def main_work():
    start = time.thread_time()
    while not is_sampled() or is_wanted():
        pass
    used["main_work"] = time.thread_time() - start


Gst.init(None)
pipeline = Gst.parse_launch("fakesrc num-buffers=10 ! fakesink")
pipeline.set_state(Gst.State.PLAYING)
thread = threading.Thread(target=analyse)
thread.start()
main_work()
thread.join()
pipeline.set_state(Gst.State.NULL)
print(used)
