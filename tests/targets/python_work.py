# SPDX-License-Identifier: MIT
"""A PyGObject program whose Python functions use known shares of the CPU, in several pipelines and threads.

A thread of its own and a GLib timeout burn as well: they belong to no element.

    python_work.py SECONDS [numpy]      SECONDS of CPU; numpy: the appsink's callback works on its buffers with numpy

Context: tests, as a host (the distribution's python3).
"""

import sys
import threading
import time
import types

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)
SECONDS = float(sys.argv[1])
used = {}


def _burn(name, seconds):
    start = time.thread_time()
    while (now := time.thread_time()) - start < seconds:
        pass
    used[name] = used.get(name, 0.0) + now - start


def burner(name, seconds):
    """A function of that name that burns CPU by itself, and notes how much."""
    code = _burn.__code__.replace(co_name=name, co_qualname=name)
    return types.FunctionType(code, globals(), argdefs=(name, seconds))


three_quarters = burner("three_quarters", 0.015)
one_quarter = burner("one_quarter", 0.005)
sink_pad_work = burner("sink_pad_work", 0.01)
source_pad_work = burner("source_pad_work", 0.005)
timeout_work = burner("timeout_work", 0.001)
thread_work = burner("thread_work", 0.001)


def on_sample(sink):
    sink.emit("pull-sample")
    three_quarters()
    one_quarter()
    return Gst.FlowReturn.OK


def on_sink_pad(_pad, _info):
    sink_pad_work()
    return Gst.PadProbeReturn.OK


def on_source_pad(_pad, _info):
    source_pad_work()
    return Gst.PadProbeReturn.OK


def on_timeout():
    timeout_work()
    return True


def in_a_thread():
    while running:
        thread_work()
        time.sleep(0.005)


def on_numpy_sample(sink):
    import numpy as np

    sample = sink.emit("pull-sample")
    start = time.thread_time()
    buffer = sample.get_buffer()
    _, info = buffer.map(Gst.MapFlags.READ)
    picture = np.frombuffer(info.data, dtype=np.uint8)
    sort_picture(picture)
    brighten(picture)
    buffer.unmap(info)
    used["numpy"] = used.get("numpy", 0.0) + time.thread_time() - start
    return Gst.FlowReturn.OK


def sort_picture(picture):
    """numpy gives the interpreter's lock away meanwhile."""
    import numpy as np

    start = time.thread_time()
    np.sort(picture.astype(np.float32))
    used["sort_picture"] = used.get("sort_picture", 0.0) + time.thread_time() - start


def brighten(picture):
    start = time.thread_time()
    for _ in range(20):
        picture.astype("float32") * 1.5 + 3
    used["brighten"] = used.get("brighten", 0.0) + time.thread_time() - start


def play(name, description, callback):
    pipeline = Gst.parse_launch(description)
    pipeline.set_property("name", name)
    sink = pipeline.get_by_name(f"{name}-sink")
    sink.connect("new-sample", callback)
    pipeline.set_state(Gst.State.PLAYING)
    return pipeline


SOURCE = "videotestsrc ! video/x-raw,width=64,height=64"
SINK = "appsink emit-signals=true sync=false max-buffers=1 drop=true"
pipelines = []
running = True
if "numpy" in sys.argv:
    pipelines.append(
        play("one", f"{SOURCE.replace('64', '320')} ! {SINK} name=one-sink", on_numpy_sample)
    )
else:
    for name in ("one", "two"):
        text = f"{SOURCE} ! identity name={name}-id ! {SINK} name={name}-sink"
        pipeline = play(name, text, on_sample)
        identity = pipeline.get_by_name(f"{name}-id")
        if name == "one":
            identity.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, on_sink_pad)
        else:
            identity.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, on_source_pad)
        pipelines.append(pipeline)
    GLib.timeout_add(20, on_timeout)
    thread = threading.Thread(target=in_a_thread)
    GLib.timeout_add(1000, lambda: thread.ident is None and thread.start())
loop = GLib.MainLoop()
GLib.timeout_add(100, lambda: sum(used.values()) < SECONDS or loop.quit())
loop.run()
running = False
for pipeline in pipelines:
    pipeline.set_state(Gst.State.NULL)
print(used)
