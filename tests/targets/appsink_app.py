# SPDX-License-Identifier: MIT
"""A PyGObject program: an appsink whose callback burns 5 ms of CPU for each of 60 buffers, or another number of them.

Context: tests, as a host (the distribution's python3).
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
BUFFERS = sys.argv[1] if len(sys.argv) > 1 else "60"
pipeline = Gst.parse_launch(
    f"videotestsrc num-buffers={BUFFERS} ! video/x-raw,width=320,height=240 ! x264enc name=enc"
    " ! appsink name=sink emit-signals=true sync=false"
)
count = 0


def on_sample(sink):
    global count
    sink.emit("pull-sample")
    count += 1
    start = time.thread_time()
    while time.thread_time() - start < 0.005:
        pass
    return Gst.FlowReturn.OK


pipeline.get_by_name("sink").connect("new-sample", on_sample)
pipeline.set_state(Gst.State.PLAYING)
message = pipeline.get_bus().timed_pop_filtered(
    Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR
)
print(message.type.first_value_nick, count)
pipeline.set_state(Gst.State.NULL)
