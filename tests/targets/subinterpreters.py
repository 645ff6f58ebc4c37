# SPDX-License-Identifier: MIT
"""A PyGObject program with sub-interpreters: two on threads of the program burn 0.4 s of CPU each, one of these on a
thread that it starts itself; a third burns 4 ms for each of 100 buffers, called by a pad probe.

The first argument is their kind, "legacy" or "isolated" (with a lock of their own, Python 3.13 and newer). The second
says when they are made: "before" pyroscope-io is started, "while" it starts, or "after", if the program is profiled.

Context: tests, as a host.
"""

import os
import sys
import threading
import time

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

BUFFERS = 100
BURN = """
import time
def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
"""
IN_A_THREAD = """
import threading
worker = threading.Thread(target=burn, args=(0.4,))
worker.start()
worker.join()
"""


def create():
    if hasattr(_interpreters, "new_config"):
        return _interpreters.create(sys.argv[1])
    return _interpreters.create(isolated=False)


def run(interpreter, script):
    failed = _interpreters.run_string(interpreter, script)
    if failed is not None:
        raise RuntimeError(failed)


def burn_once(script):
    interpreter = create()
    run(interpreter, BURN + script)
    _interpreters.destroy(interpreter)


def on_buffer(_pad, _info):
    global count
    count += 1
    run(guest, "burn(0.004)")
    return Gst.PadProbeReturn.OK


def is_sampled():
    """It is just being imported; for "after", it has been started."""
    module = sys.modules.get("pyroscope")
    if sys.argv[2] == "while" or module is None:
        return module is not None
    return hasattr(module, "lib") and module.lib.initialize_agent.__name__ == "make_way"


def wait_for_sampler():
    """And, for "after", until it has chosen its interpreter, and that has been looked at."""
    if "GST_PYROSCOPE_OUTPUT" in os.environ:
        end = time.monotonic() + 50
        while not is_sampled() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(1.0 if sys.argv[2] == "after" else 0)


def play(buffers, probe):
    """A pipeline to its end, and what goes on meanwhile."""
    pipeline = Gst.parse_launch(
        f"videotestsrc num-buffers={buffers} ! video/x-raw,width=16,height=16 ! fakesink name=sink"
    )
    pipeline.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, probe)
    pipeline.set_state(Gst.State.PLAYING)
    yield
    message = pipeline.get_bus().timed_pop_filtered(
        Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR
    )
    print(message.type.first_value_nick)
    pipeline.set_state(Gst.State.NULL)


Gst.init(None)
count = 0
if sys.argv[2] != "before":
    # The first callback is what brings pyroscope-io up.
    for _ in play(1, lambda _pad, _info: Gst.PadProbeReturn.OK):
        wait_for_sampler()
guest = create()
run(guest, BURN)
for _ in play(BUFFERS, on_buffer):
    workers = [
        threading.Thread(target=burn_once, args=(script,)) for script in ("burn(0.4)", IN_A_THREAD)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
_interpreters.destroy(guest)
print(count, len(_interpreters.list_all()))
