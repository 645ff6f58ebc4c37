# SPDX-License-Identifier: MIT
"""A PyGObject program that plays until its Python is being profiled (or for a moment, where nobody profiles it), and
then does what its first argument says.

Context: tests, as a host (the distribution's python3).
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

from sampled import is_sampled

PATH = list(sys.path)
MODULES = set(sys.modules)
SIGNALS = [signal.getsignal(number) for number in signal.valid_signals()]
MODE = sys.argv[1]
PROFILED = "GST_PYROSCOPE_OUTPUT" in os.environ

if MODE == "own":
    import pyroscope

    # Its own server is not there; nothing of ours depends on that.
    print(
        "own",
        pyroscope.configure(
            application_name="theirs", server_address=sys.argv[2], upload_interval=1
        ),
    )
elif MODE == "pydantic1":
    import pydantic

import gi  # noqa: E402

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
if MODE == "warnings":
    # Not -W error: the distribution's gi warns while it is imported.
    warnings.simplefilter("error")


raised = []


def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def on_sample(sink):
    sink.emit("pull-sample")
    burn(0.002)
    if MODE == "callback" and not raised:
        raised.append(True)
        raise ValueError("in a callback")
    return Gst.FlowReturn.OK


def play(name="sink"):
    pipeline = Gst.parse_launch(
        f"videotestsrc ! video/x-raw,width=16,height=16 ! appsink name={name} emit-signals=true sync=false"
    )
    pipeline.get_by_name(name).connect("new-sample", on_sample)
    pipeline.set_state(Gst.State.PLAYING)
    return pipeline


def run():
    pipeline = play()
    start = time.monotonic()
    while time.monotonic() - start < (50 if PROFILED and MODE not in {"own", "none"} else 0.3):
        time.sleep(0.02)
        if PROFILED and is_sampled():
            time.sleep(0.3)
            break
    pipeline.set_state(Gst.State.NULL)


def on_interrupt(number, _):
    print("handled", number, flush=True)


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell without job control has its background jobs ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if MODE == "handler":
    signal.signal(signal.SIGINT, on_interrupt)
if MODE == "order":
    atexit.register(print, "first registered, last run")
run()
if MODE == "exit":
    sys.exit(7)
elif MODE == "_exit":
    os._exit(8)
elif MODE == "raise":
    raise RuntimeError("as it may happen")
elif MODE == "interrupt":
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
elif MODE == "terminate":
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
elif MODE == "handler":
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
elif MODE == "busy-interrupt":
    # Ctrl-C in the midst of callbacks: none of ours may swallow it.
    pipeline = play()
    over = threading.Event()

    def interrupt():
        # Again and again: PyGObject itself loses one that comes while it takes an object down.
        while not over.wait(0.5):
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    try:
        while not over.is_set():
            pipeline.get_by_name("sink").get_property("name")
    except KeyboardInterrupt:
        over.set()
        print("interrupted")
    pipeline.set_state(Gst.State.NULL)
elif MODE == "subprocess":
    print(
        subprocess.run(
            [sys.executable, "-c", "print('child'); raise SystemExit(3)"], check=False
        ).returncode
    )
    print(subprocess.check_output(["/bin/echo", "echoed"], text=True).strip())
elif MODE == "fork":
    pid = os.fork()
    if pid == 0:
        burn(0.05)
        sys.exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
elif MODE == "multiprocessing":
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(abs, [-1, -2, -3]))
elif MODE == "order":
    atexit.register(print, "last registered, first run")
elif MODE == "state":
    print(sys.path == PATH)
    print([signal.getsignal(number) for number in signal.valid_signals()] == SIGNALS)
    ours = {name.partition(".")[0] for name in set(sys.modules) - MODULES} - sys.stdlib_module_names
    print(sorted(ours - {"gi", "pyroscope"}))
elif MODE == "late":
    sys.path.append(sys.argv[3])
    import pyroscope

    print(
        "late",
        pyroscope.configure(
            application_name="theirs", server_address=sys.argv[2], upload_interval=1
        ),
    )
    burn(0.3)
    print("shutdown", pyroscope.shutdown())
elif MODE == "pydantic1":
    print(pydantic.VERSION)
elif MODE == "own":
    print("shutdown", pyroscope.shutdown())
print("end")
