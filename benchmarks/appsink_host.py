# SPDX-License-Identifier: MIT
"""A PyGObject program whose appsink's callback works on each picture with numpy.

    appsink_host.py throughput FD           as fast as it goes, for ever; writes the count of pictures, 8 bytes, to FD
    appsink_host.py delays SECONDS          live, 100 a second; prints the delays of its callbacks, ns, one a line
    appsink_host.py entries BUFFERS         two probes a buffer on two elements; prints ns of CPU a buffer

The last two leave out the first seconds, in which pyroscope-io is started.

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
delays: list[int] = []
clock = Gst.SystemClock.obtain()
loop = GLib.MainLoop()
count = mmap.mmap(int(SIZE), 8) if MODE == "throughput" else None


def on_sample(sink: Gst.Element) -> Gst.FlowReturn:
    sample = sink.emit("pull-sample")
    buffer = sample.get_buffer()
    if count is None:
        delays.append(clock.get_time() - pipeline.get_base_time() - buffer.pts)
    _, info = buffer.map(Gst.MapFlags.READ)
    np.frombuffer(info.data, dtype=np.uint8).astype(np.float32).mean()
    buffer.unmap(info)
    if count is not None:
        count[:] = (int.from_bytes(count[:], sys.byteorder) + 1).to_bytes(8, sys.byteorder)
    return Gst.FlowReturn.OK


def on_buffer(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    times.append(time.thread_time_ns())
    return Gst.PadProbeReturn.OK


def play(text: str, seconds: float) -> Gst.Pipeline:
    started = Gst.parse_launch(text)
    started.use_clock(clock)
    if count is None:
        GLib.timeout_add(int(seconds * 1000), loop.quit)
    return started


if MODE == "entries":
    pipeline = play("fakesrc ! identity name=a ! identity name=b ! fakesink", START_S + SIZE)
    for name in "ab":
        pad = pipeline.get_by_name(name).get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, on_buffer)
else:
    pipeline = play(
        f"videotestsrc is-live={LIVE} ! video/x-raw,width=640,height=360,framerate=100/1"
        " ! appsink name=sink emit-signals=true sync=false max-buffers=4",
        START_S + SIZE,
    )
    pipeline.get_by_name("sink").connect("new-sample", on_sample)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
if MODE == "delays":
    print("\n".join(str(one) for one in delays[int(100 * START_S) :]))
else:
    late = times[len(times) // 2 & ~1 :]
    print((late[-1] - late[0]) / (len(late) / 2))
