# SPDX-License-Identifier: MIT
"""A PyGObject program whose appsink spends its time in early() until pyroscope-io is up, in late() for as much CPU as
the first argument says from then on, then in allocate(), and waits and allocates until the test has seen enough.

Prints how many seconds early() and late() have burnt.

Context: tests, as a host (the distribution's python3).
"""

import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402
from sampled import is_sampled, is_wanted  # noqa: E402

LATE_S = float(sys.argv[1])
used = {"early": 0.0, "late": 0.0}
allocated = []
over = threading.Event()


def early():
    start = time.thread_time()
    while time.thread_time() - start < 0.005 and not is_sampled():
        pass
    used["early"] += time.thread_time() - start


def late():
    start = time.thread_time()
    while time.thread_time() - start < 0.005:
        pass
    used["late"] += time.thread_time() - start


def allocate(number):
    return [bytes(1 << 20) for _ in range(number)]


def on_sample(sink):
    sink.emit("pull-sample")
    if not is_sampled():
        early()
    elif used["late"] < LATE_S:
        late()
    elif not allocated:
        allocated.append(len(allocate(32)))
    elif is_wanted():
        allocate(2)
        time.sleep(0.02)
    else:
        over.set()
        return Gst.FlowReturn.EOS
    return Gst.FlowReturn.OK


Gst.init(None)
pipeline = Gst.parse_launch(
    "videotestsrc ! video/x-raw,width=16,height=16 ! appsink name=sink emit-signals=true sync=false"
)
pipeline.get_by_name("sink").connect("new-sample", on_sample)
pipeline.set_state(Gst.State.PLAYING)
over.wait()
pipeline.set_state(Gst.State.NULL)
print(used)
