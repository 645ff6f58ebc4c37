# SPDX-License-Identifier: MIT
"""A PyGObject program that sets Python's watchdog and takes it off, a thousand times, once pyroscope-io is up.

Its thread is one of CPython's own that never takes the interpreter's lock, and whoever takes it off waits for its end
with the lock held.

Context: tests, as a host (the distribution's python3).
"""

import faulthandler
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
pipeline = Gst.parse_launch("fakesrc is-live=true do-timestamp=true ! fakesink name=sink")
pad = pipeline.get_by_name("sink").get_static_pad("sink")
pad.add_probe(Gst.PadProbeType.BUFFER, lambda *_: Gst.PadProbeReturn.OK)
pipeline.set_state(Gst.State.PLAYING)
until = time.monotonic() + 50
while "pyroscope" not in sys.modules and time.monotonic() < until:
    time.sleep(0.05)
time.sleep(1)  # for what it does from then on
pipeline.set_state(Gst.State.NULL)
print("pyroscope-io", "pyroscope" in sys.modules)
for number in range(1000):
    faulthandler.dump_traceback_later(60)
    sum(range(number))
    faulthandler.cancel_dump_traceback_later()
thread = threading.Thread(target=print, args=("still here",))
thread.start()
thread.join()
