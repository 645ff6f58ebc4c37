# SPDX-License-Identifier: MIT
"""A PyGObject program whose appsink's callback works on each picture with numpy.

    appsink_host.py throughput FD           as fast as it goes, for ever
    appsink_host.py delays FD               live, 100 a second, for ever; records the delays of its callbacks, ns
    appsink_host.py entries SECONDS         two probes a buffer on two elements; prints ns of CPU a buffer

FD takes the count of pictures, 8 bytes, and behind it what is recorded of each, 8 bytes too. The last leaves out the
first seconds, in which pyroscope-io is started.

Context: target of bench_python.py.
"""

import mmap
import sys
import time

import gi
import numpy as np

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)
START_S = 2.5
MODE, SIZE = sys.argv[1], float(sys.argv[2])
LIVE = "true" if MODE == "delays" else "false"
times: list[int] = []
clock = Gst.SystemClock.obtain()
loop = GLib.MainLoop()
shared = mmap.mmap(int(SIZE), 0) if MODE != "entries" else None


def record(number: int, value: int) -> None:
    shared[8 * number : 8 * number + 8] = value.to_bytes(8, sys.byteorder, signed=True)


def on_sample(sink: Gst.Element) -> Gst.FlowReturn:
    sample = sink.emit("pull-sample")
    buffer = sample.get_buffer()
    number = int.from_bytes(shared[:8], sys.byteorder) + 1
    if MODE == "delays":
        record(number, clock.get_time() - pipeline.get_base_time() - buffer.pts)
    _, info = buffer.map(Gst.MapFlags.READ)
    np.frombuffer(info.data, dtype=np.uint8).astype(np.float32).mean()
    buffer.unmap(info)
    record(0, number)
    return Gst.FlowReturn.OK


def on_buffer(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    times.append(time.thread_time_ns())
    return Gst.PadProbeReturn.OK


def play(text: str) -> Gst.Pipeline:
    started = Gst.parse_launch(text)
    started.use_clock(clock)
    return started


if MODE == "entries":
    pipeline = play("fakesrc ! identity name=a ! identity name=b ! fakesink")
    GLib.timeout_add(int((START_S + SIZE) * 1000), loop.quit)
    for name in "ab":
        pad = pipeline.get_by_name(name).get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, on_buffer)
else:
    pipeline = play(
        f"videotestsrc is-live={LIVE} ! video/x-raw,width=640,height=360,framerate=100/1"
        " ! appsink name=sink emit-signals=true sync=false max-buffers=4"
    )
    pipeline.get_by_name("sink").connect("new-sample", on_sample)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
late = times[len(times) // 2 & ~1 :]
print((late[-1] - late[0]) / (len(late) / 2))
