# SPDX-License-Identifier: MIT
"""A PyGObject program with a probe on a live pad.

Prints a line for each callback: ns behind the clock, and behind the push that led to it.

Context: target of bench_probe.py.
"""

import sys
import time

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)
SECONDS = float(sys.argv[1])
pipeline = Gst.parse_launch(
    f"audiotestsrc is-live=true samplesperbuffer=96 num-buffers={int(SECONDS * 500)}"
    " ! audio/x-raw,rate=48000,channels=2 ! stamp ! identity name=here ! fakesink"
)
clock = Gst.SystemClock.obtain()
pipeline.use_clock(clock)
delays: list[tuple[int, int]] = []


def on_buffer(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    now, late = time.monotonic_ns(), clock.get_time() - pipeline.get_base_time()
    buffer = info.get_buffer()
    delays.append((late - buffer.pts, now - buffer.offset))
    return Gst.PadProbeReturn.OK


pipeline.get_by_name("here").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_buffer)
loop = GLib.MainLoop()
bus = pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message::eos", lambda *_: loop.quit())
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
sys.stdout.write("\n".join(f"{late} {behind}" for late, behind in delays[100:]))
